"""`exact` logits are transformers' on the same weights, up to the rounding of float32."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.families import (
    FAMILIES,
    VOCABULARY,
    Family,
    random_model,
    transformers_logits,
    write_gguf,
)
from zeropoint.checkpoints import open_checkpoint
from zeropoint.formats import FORMATS
from zeropoint.models import load_model
from zeropoint.models.loading import Engine

ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
# Maximum error: four times transformers' own distance from float64.
FACTOR = 4
ENGINES: tuple[Engine, ...] = ("compiled", "transformers")


def some_tokens(batch: int, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (batch, count))


@ALL
def test_logits_equal_those_of_transformers(family: Family, tmp_path: Path) -> None:
    model = random_model(family)
    path = write_gguf(tmp_path / "tiny.gguf", family, model)
    ours = {
        engine: load_model(open_checkpoint(path), threads=1, engine=engine) for engine in ENGINES
    }
    for count in (24, 60):
        tokens = some_tokens(2, count)
        single = transformers_logits(model, tokens, torch.float32)
        double = transformers_logits(model, tokens, torch.float64)
        allowed = FACTOR * np.abs(single - double).max()
        for engine in ENGINES:
            logits = ours[engine].logits(tokens)
            assert logits.dtype == np.float32 and logits.shape == double.shape
            assert np.abs(logits - double).max() <= allowed, (engine, count)


# Every format that weights have, one matrix after the other, in models with rows of 256.
NOT_WEIGHTS = {"F64", "I8", "I16", "I32", "I64"}
FORMATS_OF_WEIGHTS = [name for name in FORMATS if name not in NOT_WEIGHTS]


def widened(family: Family) -> dict[str, Any]:
    """Options for rows of 256, heads of the size they had, and a matrix for every format."""
    wide = {"hidden_size": 256, "intermediate_size": 256, "moe_intermediate_size": 256}
    wide |= {"shared_expert_intermediate_size": 256, "hidden_size_per_layer_input": 256}
    wide |= {"linear_key_head_dim": 32, "linear_value_head_dim": 32}
    wide["num_attention_heads"] = 256 // family.options.get("head_dim", 16)
    wide["num_hidden_layers"] = 7 if family.architecture == "phi3" else 4  # of 4 or 7 matrices
    if family.architecture.startswith("lfm2"):  # of 5 or 7 matrices
        wide |= {
            "num_hidden_layers": 6,
            "layer_types": family.options["layer_types"] + 2 * ["conv"],
        }
    if family.architecture == "nemotron_h":  # of 2 or 4 matrices
        wide |= {
            "layers_block_type": 4 * ["linear_attention", "full_attention"] + 2 * ["mlp"],
            "mamba_num_heads": 8,
            "mamba_head_dim": 32,
        }
    return {key: value for key, value in wide.items() if family.options.get(key)}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_format_in_every_family(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    first = list(FAMILIES).index(name)  # so that a format is another matrix's in another family
    turn = FORMATS_OF_WEIGHTS[first:] + FORMATS_OF_WEIGHTS[:first]
    model = random_model(family, **widened(family))
    path = write_gguf(tmp_path / "tiny.gguf", family, model, cycle(turn))
    checkpoint = open_checkpoint(path)
    assert {tensor.format.name for tensor in checkpoint.tensors.values()} >= set(turn)
    tokens = some_tokens(2, 24)
    ours = load_model(checkpoint, threads=1)
    logits = ours.logits(tokens)
    single = transformers_logits(model, tokens, torch.float32)
    double = transformers_logits(model, tokens, torch.float64)
    assert np.abs(logits - double).max() <= FACTOR * np.abs(single - double).max()
    # And the bits are those of one token after the other, on more threads.
    cache = ours.cache(24)
    other = load_model(checkpoint, threads=3)
    for at, size in ((0, 1), (1, 16), (17, 7)):
        part = other.logits(tokens[1, at : at + size], cache)
        np.testing.assert_array_equal(part, logits[1, at : at + size])
