"""`exact` logits are transformers' on the same weights, up to the rounding of float32."""

from pathlib import Path

import numpy as np
import pytest
import torch

from families import FAMILIES, VOCABULARY, Family, random_model, transformers_logits, write_gguf
from zeropoint.checkpoints import open_checkpoint
from zeropoint.models import Cache, load_model, transformer

ALL = pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
# What issue 3 allows: four times transformers' own distance from float64.
FACTOR = 4


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
    ours = load_model(open_checkpoint(path), threads=1).logits(tokens)
    assert ours.dtype == np.float32 and ours.shape == double.shape
    allowed = FACTOR * np.abs(single - double).max()
    assert np.abs(ours - double).max() <= allowed


@ALL
def test_the_compiled_transformer_is_its_twin_in_numpy(family: Family, tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "tiny.gguf", family, random_model(family))
    model = load_model(open_checkpoint(path), threads=1)
    tokens = some_tokens(2, 40)
    compiled = model.hidden(tokens)
    cache = Cache(model.architecture, 40, sequences=2, chunk=40)
    embedded = model._weights.rows("token_embd.weight", tokens.reshape(-1)).reshape(2, 40, -1)
    twin = transformer.run(
        model.architecture, model._weights, embedded, cache, np.zeros(2, np.int64)
    )
    assert np.abs(compiled - twin).max() < 3e-5
