"""Well-known models by name: their shapes, their names, and that no network is used."""

import json
from math import prod
from pathlib import Path

import pytest

from support import hf_folders
from zeropoint.checkpoints import open_checkpoint
from zeropoint.checkpoints.hub import download
from zeropoint.checkpoints.huggingface import as_gguf
from zeropoint.errors import CheckpointError, RecipeError
from zeropoint.plans.memory.configs import read_config
from zeropoint.plans.memory.layers import DescribedModel
from zeropoint.plans.memory.memory import PlanWorkload, memory_use
from zeropoint.plans.memory.named_models import (
    NamedModel,
    find_named,
    named_models,
    similar_names,
)
from zeropoint.verbs.plan import describe_model, plan

UNITS = {"M": 10**6, "B": 10**9, "T": 10**12}
MODELS = {model.names[0]: model for model in named_models()}


def described(model: NamedModel) -> DescribedModel:
    return read_config(Path(model.names[0]), model.config)


def weights(found: DescribedModel) -> int:
    return sum(prod(tensor.shape) for tensor in found.tensors.values())


def published(text: str) -> tuple[float, float]:
    """Return a count such as "8.2B", and half a unit of its last digit."""
    digits, unit = text[:-1], UNITS[text[-1]]
    decimals = len(digits.partition(".")[2])
    return float(digits) * unit, 0.5 * 10**-decimals * unit


@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_as_many_weights_as_were_published(name):
    """2 % apart at most; of a figure of one digit ("4B"), as far as it is rounded."""
    model = MODELS[name]
    total, rounding = published(model.published)
    text_part = total - published(model.beside)[0]
    one_digit = len(model.published.strip("0.MBT")) == 1
    allowed = max(0.02 * total, rounding if one_digit else 0)
    assert abs(weights(described(model)) - text_part) <= allowed
    assert model.count and model.source and model.source.isprintable()


def test_there_are_the_models_that_people_run():
    wanted = (
        "Qwen3.5-0.8B Qwen3.5-27B Qwen3.5-35B-A3B Qwen3.5-397B-A17B Qwen3.6-27B Qwen3-Next-80B-A3B "
        "Qwen3-Coder-30B-A3B gpt-oss-20b gpt-oss-120b gemma-3-27b gemma-4-31B GLM-4.5-Air GLM-4.6 "
        "DeepSeek-V3 DeepSeek-R1 Kimi-K2 Nemotron-3-Nano Nemotron-3-Super LFM2-1.2B LFM2-8B-A1B "
        "Llama-3.1-8B Llama-3.1-70B Llama-4-Scout Llama-4-Maverick Mistral-Small-3.2 "
        "Ministral-3-8B granite-4.0-h-small OLMo-3-7B phi-4 SmolLM3-3B Seed-OSS-36B ERNIE-4.5-0.3B"
    )
    assert all(find_named(name) for name in wanted.split())


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("qwen3.5-27b", "Qwen3.5-27B"), ("Qwen 3.5 27B", "Qwen3.5-27B"),
        ("QWEN3.6_27B", "Qwen3.5-27B"), ("gemma-3-27b-it", "gemma-3-27b"),
        ("Llama-3.1-8B-Instruct-GGUF", "Llama-3.1-8B"), ("llama 3.3 70b", "Llama-3.1-70B"),
        ("Ministral-3-8B-Instruct-2512", "Ministral-3-8B"),
        ("Qwen3-30B-A3B-2507", "Qwen3-Coder-30B-A3B"), ("Qwen3-30B-A3B", "Qwen3-30B-A3B"),
    ],
)  # fmt: skip
def test_a_name_is_found_in_any_case_and_with_the_usual_endings(typed, name):
    found = find_named(typed)
    assert found is not None and found.names[0] == name


@pytest.mark.parametrize("typed", ["", " ", "-", "instruct", "Qwen3.5", "27B", "Qwen3.5-28B"])
def test_a_text_that_is_no_name_is_not_found(typed):
    assert find_named(typed) is None


def test_no_two_models_share_a_name():
    names = [name.lower() for model in named_models() for name in model.names]
    assert len(set(names)) == len(names)


def test_an_unknown_name_is_answered_with_those_that_are_close():
    assert similar_names("Qwen3.5-28B")[0] == "Qwen3.5-27B"
    assert similar_names("gptoss")[:2] == ["gpt-oss-20b", "gpt-oss-120b"]
    assert similar_names("a name of nothing") == []
    with pytest.raises(CheckpointError, match=r"similar names: gpt-oss-20b, gpt-oss-120b$"):
        plan("gpt-oss", device="rtx3090", runs=[])


def test_a_plan_by_name_needs_no_network(monkeypatch):
    monkeypatch.setattr(download, "open_remote", lambda *_: pytest.fail("the hub was asked"))
    found = plan("qwen3.5-27b:Q4_K_M", device="rtx3090", context="32k", runs=[])
    (row,) = found.results
    assert row.fits and row.format == "Q4_K_M" and row.model == "Qwen3.5-27B Q4_K_M"
    assert found.to_json()["models"][0]["origin"].startswith("config.json of Qwen/Qwen3.5-27B")
    # 16 of 64 layers: 4 heads of 256 for keys and values in 16 bits; 48 states of a delta net
    states = 48 * 4 * (3 * (2 * 16 + 48) * 128 + 48 * 128 * 128)
    assert row.memory.kv_bytes == 16 * 2 * 2 * 4 * 256 * 32768 + states


def test_a_name_with_half_a_format_is_refused_with_what_would_work():
    with pytest.raises(RecipeError, match=r"Qwen3\.5-27B:Q4_K_M"):
        plan("Qwen3.5-27B:", device="rtx3090", runs=[])


def test_experts_that_were_published_in_four_bits_are_planned_so():
    spec, _ = describe_model("gpt-oss-20b")
    assert spec.quantized and spec.format == "MXFP4"
    experts = spec.source.tensors["blk.0.ffn_up_exps.weight"]
    assert experts.format.name == "MXFP4" and experts.shape == (32, 2880, 2880)


def test_layers_that_share_a_cache_have_none_of_their_own():
    shape = described(MODELS["gemma-4-E2B"]).shape
    assert [bool(layer.keys) for layer in shape.layers] == 15 * [True] + 20 * [False]
    memory = memory_use(shape, (), PlanWorkload(context=32768))
    assert memory.cache_bytes == 3 * 2 * (512 + 512) * 32768  # every fifth layer, 1 head of 512
    assert memory.window_bytes == 12 * 2 * (256 + 256) * 1024  # windows of 512, and a batch


@pytest.mark.parametrize("name", hf_folders.FAMILIES)
def test_a_config_describes_the_tensors_of_its_converted_folder(name, tmp_path):
    """Names and shapes alike, so the bytes in any format are alike too."""
    folder = hf_folders.make_folder(name, tmp_path / "model")
    found = read_config(folder, json.loads((folder / "config.json").read_text()))
    with open_checkpoint(folder) as checkpoint:
        stored = {tensor.name: tensor.shape for tensor in as_gguf(checkpoint).tensors.values()}
    assert {tensor.name: tensor.shape for tensor in found.tensors.values()} == stored


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_has_exactly_the_weights_of_transformers(name):
    """On the meta device. Rotary factors and Gemma 4's layer scales are no parameters there."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    config = dict(MODELS[name].config)
    kind = {"kimi_k2": "deepseek_v3"}.get(config["model_type"], config["model_type"])
    count = config["num_hidden_layers"]
    for key in ("model_type", "rope_scaling", "quantization_config"):
        config.pop(key, None)
    for key, other in (("attn_layer_indices", "mamba"), ("full_attn_idxs", "conv")):
        if chosen := config.pop(key, None):
            full = "attention" if other == "mamba" else "full_attention"
            config["layer_types"] = [full if i in chosen else other for i in range(count)]
    if kind == "gemma4_text":
        period = config.pop("sliding_window_pattern")
        config["layer_types"] = [
            "full_attention" if (i + 1) % period == 0 else "sliding_attention" for i in range(count)
        ]
        config.setdefault("hidden_size_per_layer_input", 0)
    with torch.device("meta"):
        made = transformers.AutoConfig.for_model(kind, **config)
        module = transformers.AutoModelForCausalLM.from_config(made)
    biases = [value for name, value in module.named_buffers() if name.endswith("bias")]
    parameters = sum(value.numel() for value in [*module.parameters(), *biases])
    unlike = ("rope_f", "layer_output_scale")
    tensors = described(MODELS[name]).tensors.values()
    assert parameters == sum(prod(t.shape) for t in tensors if not any(u in t.name for u in unlike))
