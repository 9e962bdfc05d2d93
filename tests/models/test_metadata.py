"""Whatever a file's metadata says: logits that are finite, or one sentence. Never a crash."""

from pathlib import Path

import numpy as np
import pytest
import torch

from support.families import FAMILIES, random_model, write_gguf
from support.tiny_models import vocabulary_size, write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import ZeropointError
from zeropoint.models import generate, load_model

ODD: list[object] = [
    None, 0, 3, 2**32 - 1, -1, "x", [], ["a"], float("nan"), -1.0, 0.0, 1e-45, 1e38, True,
    np.full(2, -5),
]  # fmt: skip
# Keys that no tiny model has, but that are read where they are there.
MORE = """attention.scale attention.sliding_window attention.sliding_window_pattern
    attn_logit_softcapping expert_weights_norm expert_weights_scale final_logit_softcapping
    hidden_activation rope.freq_base_swa rope.scale_linear rope.scaling.attn_factor
    rope.scaling.factor rope.scaling.original_context_length rope.scaling.type""".split()
TOKENIZER = "add_eos_token add_space_prefix eot_token_id mask_token_id merges pre".split()
TOKENIZER += ["padding_token_id", "seperator_token_id"]


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_odd_metadata_is_followed_or_refused(architecture: str, tmp_path: Path) -> None:
    experts = 2 if architecture == "llama" else 0
    path = write_model(tmp_path / "tiny.gguf", architecture, columns=64, experts=experts)
    checkpoint = open_checkpoint(path)
    facts = dict(checkpoint.metadata)
    keys = {*facts, *(f"{architecture}.{key}" for key in MORE)}
    keys |= {f"tokenizer.ggml.{key}" for key in TOKENIZER}
    keys |= {"zeropoint.tokenizer", "general.name", "tokenizer.chat_templates"}
    refused = 0
    for key in sorted(keys):
        for value in ODD:
            checkpoint.metadata = {name: facts[name] for name in facts if name != key}
            if value is not None:
                checkpoint.metadata[key] = value
            try:
                model = load_model(checkpoint, threads=1)
                ids = model.tokenizer.encode("the cat", ends=True)
                list(generate(model, ids or [1], limit=2))
            except ZeropointError as error:
                refused += 1
                assert str(error).isprintable(), (key, value)
    assert refused > 3 * len(keys)


# Keys of mixtures and multipliers, whether a family reads them or not.
PARTS = """attention.scale attention.sliding_window attention.sliding_window_pattern embedding_scale
    expert_count expert_feed_forward_length expert_gating_func expert_group_count
    expert_group_used_count expert_shared_count expert_shared_feed_forward_length expert_used_count
    expert_weights_norm expert_weights_scale interleave_moe_layer_step leading_dense_block_count
    logit_scale residual_scale rope.freq_base_swa rope.scaling.factor rope.scaling.finetuned
    rope.scaling.original_context_length rope.scaling.type""".split()
DEFAULT = ("gpt-oss yarn", "qwen35")
OTHERS = (
    "olmo3",
    "granite",
    "granitemoe",
    "qwen35 moe",
    "qwen3 next",
    "ernie4_5 moe",
    "glm4moe",
    "gemma4",
    "gemma4 equal",
)


@pytest.mark.parametrize(
    "name", [*DEFAULT, *(pytest.param(other, marks=pytest.mark.slow) for other in OTHERS)]
)
def test_odd_keys_of_a_family_are_followed_or_refused(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    with torch.no_grad():
        path = write_gguf(tmp_path / "tiny.gguf", family, random_model(family))
    checkpoint = open_checkpoint(path)
    facts, prefix = dict(checkpoint.metadata), f"{family.architecture}."
    keys = {key for key in facts if key.startswith(prefix)} | {prefix + key for key in PARTS}
    refused = 0
    for key in sorted(keys):
        for value in ODD:
            checkpoint.metadata = {name: facts[name] for name in facts if name != key}
            if value is not None:
                checkpoint.metadata[key] = value
            try:
                list(generate(load_model(checkpoint, threads=1), [1, 2, 3, 4], limit=2))
            except ZeropointError as error:
                refused += 1
                assert str(error).isprintable(), (key, value)
    assert refused > 6 * len(keys)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_noticed_when_they_speak(
    value: float, tmp_path: Path
) -> None:
    head = np.zeros((vocabulary_size(), 64), np.float32)
    head[7] = value
    changed = {"output.weight": head}
    path = write_model(tmp_path / "broken.gguf", columns=64, changes=changed)
    model = load_model(open_checkpoint(path), threads=1)
    with pytest.raises(ZeropointError, match="not finite"):
        list(generate(model, [1, 2, 3], limit=2))
