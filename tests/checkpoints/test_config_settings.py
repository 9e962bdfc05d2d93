"""Every setting of a config.json is used, refused by name, or proven to be harmless.

The settings come from transformers' config classes (see `config_cases`). Each gets other legal
values; then our logits must be transformers', or the refusal must name the setting, or, for a
setting in the table of harmless ones, transformers' own logits must not move by a single bit.
"""

import json
import logging
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers")

import transformers
from safetensors.numpy import load_file, save_file

from config_cases import (
    BASES,
    LIMIT,
    Case,
    Trial,
    base,
    cases,
    class_fields,
    is_read,
    logits,
    make_model,
    ours,
    write_folder,
)
from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.checkpoints.configuration import FAMILIES, read_configuration
from zeropoint.checkpoints.huggingface import as_gguf
from zeropoint.checkpoints.settings import HARMLESS
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.quantizers.export import export_folder


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Drop what transformers says about unusual settings."""
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    transformers.logging.enable_progress_bar()


def kind_of(case: Case) -> str:
    if not is_read(case):
        return "refused"
    if case.key in {*HARMLESS, *FAMILIES[case.family].harmless}:
        return "harmless"
    configuration = read_configuration(Path("config.json"), case.config)
    return "ignored" if configuration.ignored else "used"


def some_cases() -> list[Case]:
    """Return one case for each setting (a used one if there is any), and one for each family and
    kind.
    """
    groups: dict[str, list[Case]] = {}
    for family in BASES:
        for case in cases(family):
            kind = kind_of(case)
            groups.setdefault(f"{case.key.split(' ')[0]} {kind}", []).append(case)
            groups.setdefault(f"{family} {kind}", []).append(case)
    used = {name.removesuffix(" used") for name in groups if name.endswith(" used")} - {*BASES}
    for name in [name for name in groups if name.split(" ")[0] in used]:
        if not name.endswith(" used"):
            del groups[name]
    return [group[zlib.crc32(name.encode()) % len(group)] for name, group in groups.items()]


def test_each_setting_in_one_family(tmp_path: Path) -> None:
    trial = Trial(tmp_path, files=False)
    for case in some_cases():
        trial.run(case)
    assert not trial.faults, "\n".join(trial.faults)
    assert all(trial.outcomes[kind] > 12 for kind in ("used", "refused", "harmless"))


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_setting_in_every_family_through_every_kind_of_file(
    family: str, tmp_path: Path
) -> None:
    trial = Trial(tmp_path, files=True)
    for case in cases(family):
        trial.run(case)
    assert not trial.faults, "\n".join(trial.faults)
    assert trial.outcomes["not legal in transformers"] < 12


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "gemma3"])
def test_no_field_of_a_class_of_transformers_is_only_ignored(family: str) -> None:
    """Each of them, with any value that is not refused, is read or in a table with a reason."""
    fields = class_fields(family)
    for case in cases(family):
        if case.key in fields and is_read(case):
            ignored = read_configuration(Path("config.json"), case.config).ignored
            assert case.key not in ignored, case


def test_every_family_has_a_base() -> None:
    assert {*BASES, "gemma3"} == set(FAMILIES)  # gemma3 is gemma3_text inside a text_config


# Settings of published folders (2026), without those in HARMLESS.
_LLAMA3 = {
    "factor": 32.0,
    "high_freq_factor": 4.0,
    "low_freq_factor": 1.0,
    "original_max_position_embeddings": 8192,
    "rope_type": "llama3",
}


def published(kind: str, sizes: tuple[int, ...], eps: float = 1e-6, **more: object) -> dict:
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
            "num_attention_heads", "num_key_value_heads", "max_position_embeddings")  # fmt: skip
    names = dict(zip(keys, sizes, strict=True))
    usual = {"hidden_act": "silu", "initializer_range": 0.02, "use_cache": True, "bos_token_id": 1}
    return usual | names | {"model_type": kind, "rms_norm_eps": eps} | more


PUBLISHED = {
    "Llama-3.2-1B": published(
        "llama", (128256, 2048, 8192, 16, 32, 8, 131072), 1e-5, attention_bias=False,
        attention_dropout=0.0, head_dim=64, mlp_bias=False, pretraining_tp=1, rope_scaling=_LLAMA3,
        rope_theta=500000.0, tie_word_embeddings=True,
    ),
    "SmolLM2-135M": published(
        "llama", (49152, 576, 1536, 30, 9, 3, 8192), 1e-5, is_llama_config=True,
        rope_interleaved=False, rope_scaling=None, rope_theta=100000, tie_word_embeddings=True,
    ),
    "Mistral-7B-v0.1": published(
        "mistral", (32000, 4096, 14336, 32, 32, 8, 32768), 1e-5, rope_theta=10000.0,
        sliding_window=4096, tie_word_embeddings=False,
    ),
    "Mixtral-8x7B": published(
        "mixtral", (32000, 4096, 14336, 32, 32, 8, 32768), 1e-5, num_experts_per_tok=2,
        num_local_experts=8, output_router_logits=False, rope_theta=1e6,
        router_aux_loss_coef=0.02, sliding_window=None, tie_word_embeddings=False,
    ),
    "Qwen2.5-0.5B": published(
        "qwen2", (151936, 896, 4864, 24, 14, 2, 32768), max_window_layers=24, rope_theta=1e6,
        sliding_window=32768, tie_word_embeddings=True, use_mrope=False, use_sliding_window=False,
    ),
    "Qwen3-30B-A3B": published(
        "qwen3_moe", (151936, 2048, 6144, 48, 32, 4, 40960), attention_bias=False,
        decoder_sparse_step=1, head_dim=128, max_window_layers=48, mlp_only_layers=[],
        moe_intermediate_size=768, norm_topk_prob=True, num_experts=128, num_experts_per_tok=8,
        rope_scaling=None, rope_theta=1e6, sliding_window=None, tie_word_embeddings=False,
        use_sliding_window=False,
    ),
    "gemma-2-2b": published(
        "gemma2", (256000, 2304, 9216, 26, 8, 4, 8192), attention_bias=False,
        attn_logit_softcapping=50.0, cache_implementation="hybrid", final_logit_softcapping=30.0,
        head_dim=256, hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh",
        query_pre_attn_scalar=256, rope_theta=10000.0, sliding_window=4096,
    ),
    "gemma-3-270m": published(
        "gemma3_text", (262144, 640, 2048, 18, 4, 1, 32768), _sliding_window_pattern=6,
        attn_logit_softcapping=None, final_logit_softcapping=None, head_dim=256,
        hidden_activation="gelu_pytorch_tanh", query_pre_attn_scalar=256,
        rope_local_base_freq=10000.0, rope_scaling=None, rope_theta=1000000.0, sliding_window=512,
        layer_types=(["sliding_attention"] * 5 + ["full_attention"]) * 3,
        use_bidirectional_attention=False,
    ),
    "gemma-3-4b": {
        "architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999,
        "eoi_token_index": 256000, "image_token_index": 262144, "mm_tokens_per_image": 256,
        "model_type": "gemma3", "vision_config": {"hidden_size": 1152},
        "text_config": {
            "hidden_size": 2560, "intermediate_size": 10240, "model_type": "gemma3_text",
            "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
    },
    "Phi-3-mini-4k": published(
        "phi3", (32064, 3072, 8192, 32, 32, 32, 4096), 1e-5, attention_bias=False,
        auto_map={"AutoConfig": "configuration_phi3.Phi3Config"}, embd_pdrop=0.0,
        original_max_position_embeddings=4096, resid_pdrop=0.0, rope_scaling=None,
        rope_theta=10000.0, sliding_window=2047, tie_word_embeddings=False,
    ),
    "Phi-4-mini": published(
        "phi3", (200064, 3072, 8192, 32, 24, 8, 131072), 1e-5, full_attn_mod=1,
        interpolate_factor=1, lm_head_bias=False, mlp_bias=False,
        original_max_position_embeddings=4096, partial_rotary_factor=0.75,
        rope_scaling={"long_factor": [1.0] * 48, "short_factor": [1.0] * 48, "type": "longrope"},
        rope_theta=10000.0, sliding_window=262144, tie_word_embeddings=True,
    ),
    "SmolLM3-3B": published(
        "smollm3", (128256, 2048, 11008, 36, 16, 4, 65536), attention_bias=False,
        layer_types=["full_attention"] * 36, max_window_layers=28, mlp_bias=False,
        no_rope_layer_interval=4, no_rope_layers=[1, 1, 1, 0] * 9, rope_scaling=None,
        rope_theta=5000000.0, sliding_window=None, use_sliding_window=False,
    ),
    "bitnet-b1.58-2B-4T": published(
        "bitnet", (128256, 2560, 6912, 30, 20, 5, 4096), 1e-5, rope_theta=500000.0,
        hidden_act="relu2", tie_word_embeddings=True,
        quantization_config={"quant_method": "bitnet", "linear_class": "autobitlinear",
                             "quantization_mode": "offline"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_folders_are_read_without_a_remark(name: str) -> None:
    configuration = read_configuration(Path("config.json"), PUBLISHED[name])
    assert set(configuration.ignored) <= {"is_llama_config"}  # of no class of transformers


def test_keys_outside_of_a_text_config_are_not_the_text_models(tmp_path: Path) -> None:
    config = json.loads(json.dumps(PUBLISHED["gemma-3-4b"])) | {"sliding_window": 3}
    configuration = read_configuration(tmp_path / "config.json", config)
    assert configuration.metadata["gemma3.attention.sliding_window"] == 1024
    assert "sliding_window" not in configuration.ignored  # text_config has its own
    config["text_config"] |= {"clip_qkv": 8.0}
    assert read_configuration(tmp_path, config).ignored == ("clip_qkv",)
    config["text_config"] |= {"use_bidirectional_attention": True}
    with pytest.raises(CheckpointError, match="use_bidirectional_attention"):
        read_configuration(tmp_path, config)


def test_a_key_that_transformers_ignores_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = base("llama") | {"clip_qkv": 8.0, "unused": None}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    with caplog.at_level(logging.WARNING, "zeropoint"), open_model(folder):
        pass
    assert "clip_qkv" in caplog.text and "unused" not in caplog.text


def head_of(folder: Path) -> tuple[Path, dict[str, np.ndarray]]:
    path = folder / "model.safetensors"
    return path, load_file(path)


@pytest.mark.parametrize("family", BASES)
@pytest.mark.parametrize("said", [True, False, None])
def test_an_output_matrix_is_kept_only_if_it_differs(
    family: str, said: bool | None, tmp_path: Path
) -> None:
    """Whatever tie_word_embeddings says, and whatever the family's default is."""
    config = base(family) | {"tie_word_embeddings": False}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    told = {key: value for key, value in config.items() if key != "tie_word_embeddings"}
    told |= {} if said is None else {"tie_word_embeddings": said}
    (folder / "config.json").write_text(json.dumps(told))
    view = as_gguf(open_checkpoint(folder))
    assert "output.weight" in view.tensors
    if said:  # transformers keeps it, too
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype="float32", attn_implementation="eager"
        ).eval()
        model.config._experts_implementation = "eager"
        assert np.abs(ours(view) - logits(model)).max() < LIMIT
    path, tensors = head_of(folder)
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].copy()
    save_file(tensors, path, {"format": "pt"})
    assert "output.weight" not in as_gguf(open_checkpoint(folder)).tensors
    tensors["lm_head.weight"][-1, -1] += 1
    save_file(tensors, path, {"format": "pt"})
    assert "output.weight" in as_gguf(open_checkpoint(folder)).tensors


def test_a_missing_output_matrix_needs_tied_embeddings(tmp_path: Path) -> None:
    config = base("qwen2") | {"tie_word_embeddings": False}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    path, tensors = head_of(folder)
    head = tensors.pop("lm_head.weight")
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="tie_word_embeddings"):
        as_gguf(open_checkpoint(folder))
    del tensors["model.embed_tokens.weight"]
    save_file(tensors | {"lm_head.weight": head}, path, {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    view = as_gguf(open_checkpoint(folder))  # one of two tied matrices is enough
    assert "output.weight" not in view.tensors and "token_embd.weight" in view.tensors


@pytest.mark.parametrize(
    ("family", "key"),
    [("llama", "attention_bias"), ("llama", "mlp_bias"), ("qwen3", "attention_bias")],
)
def test_a_bias_that_transformers_would_drop_is_refused(
    family: str, key: str, tmp_path: Path
) -> None:
    config = base(family) | {key: True}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    as_gguf(open_checkpoint(folder))
    (folder / "config.json").write_text(json.dumps(config | {key: False}))
    with pytest.raises(CheckpointError, match=key):
        as_gguf(open_checkpoint(folder))


def test_biases_of_interleaved_heads_survive_the_way_there_and_back(tmp_path: Path) -> None:
    config = base("llama") | {"attention_bias": True}
    model = make_model(config)
    folder = write_folder(tmp_path / "model", model, config)
    with open_model(folder) as source:
        assert np.abs(ours(source) - logits(model)).max() < LIMIT
        list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))
    before, after = head_of(folder)[1], head_of(tmp_path / "back")[1]
    assert before.keys() == after.keys()
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_what_a_class_of_transformers_lacks_is_refused_in_an_export(tmp_path: Path) -> None:
    config = base("llama") | {"attention_bias": True, "mlp_bias": False}
    folder = write_folder(tmp_path / "model", make_model(config), config)
    with open_model(folder) as source:
        source.metadata = {**source.metadata, "llama.attention.sliding_window": 7}
        with pytest.raises(UnsupportedModel, match="no bias for attn_k"):  # Mistral has none
            list(export_folder(source, tmp_path / "back", FORMATS["F32"], threads=1))
