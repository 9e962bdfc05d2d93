"""`exact` logits are transformers' on the same weights, up to the rounding of float32."""

from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, VOCABULARY, Family, random_model, transformers_logits, write_gguf

from zeropoint.checkpoints import open_checkpoint
from zeropoint.formats import FORMATS
from zeropoint.models import load_model
from zeropoint.models.loading import Engine

ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
# What issue 3 allows: four times transformers' own distance from float64.
FACTOR = 4
ENGINES: tuple[Engine, ...] = ("compiled", "transformers")


def some_tokens(batch: int, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, VOCABULARY, (batch, count))


@ALL
@pytest.mark.parametrize("count", [24, 60])
def test_logits_equal_those_of_transformers(family: Family, count: int, tmp_path: Path) -> None:
    model = random_model(family)
    path = write_gguf(tmp_path / "tiny.gguf", family, model)
    tokens = some_tokens(2, count)
    single = transformers_logits(model, tokens, torch.float32)
    double = transformers_logits(model, tokens, torch.float64)
    allowed = FACTOR * np.abs(single - double).max()
    for engine in ENGINES:
        ours = load_model(open_checkpoint(path), threads=1, engine=engine).logits(tokens)
        assert ours.dtype == np.float32 and ours.shape == double.shape
        assert np.abs(ours - double).max() <= allowed, engine


# Every format that GGUF stores and that can be written, on one model with rows of 256.
STORED = [name for name, format in FORMATS.items() if 256 % format.block_size == 0]
WIDE = {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 2}


@pytest.mark.parametrize("format", STORED)
def test_logits_equal_those_of_transformers_in_every_format(format: str, tmp_path: Path) -> None:
    family = FAMILIES["llama"]
    model = random_model(family, **WIDE)
    path = write_gguf(tmp_path / "tiny.gguf", family, model, format)
    tokens = some_tokens(1, 24)
    single = transformers_logits(model, tokens, torch.float32)
    double = transformers_logits(model, tokens, torch.float64)
    ours = load_model(open_checkpoint(path), threads=1).logits(tokens)
    assert np.abs(ours - double).max() <= FACTOR * np.abs(single - double).max()
