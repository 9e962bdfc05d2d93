"""Torch decodes on its device what our kernels decode here; on the processor too, and so tested."""

from pathlib import Path

import numpy as np
import pytest
import torch

from support.families import FAMILIES, VOCABULARY, Family, ordinary_blocks, random_model, write_gguf
from zeropoint import kernels
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import FORMATS, QuantizedTensor
from zeropoint.models import load_model
from zeropoint.models.device import DeviceMatrix
from zeropoint.quantizers import quantize

CPU = torch.device("cpu")
BLOCKS = [name for name, format in FORMATS.items() if format.block_size > 1]
SOME = ("llama", "gemma3", "qwen3 moe", "phi3", "bitnet")


@pytest.mark.parametrize("name", BLOCKS)
def test_torch_decodes_to_the_bits_of_our_kernels(name: str) -> None:
    format = FORMATS[name]
    pool = ordinary_blocks(format)
    count = 64 * 256 // format.block_size
    data = pool[np.random.default_rng(0).integers(0, len(pool), count)]
    matrix = DeviceMatrix(QuantizedTensor(format, (64, 256), data), CPU)
    wanted = kernels.decode(format, data).reshape(64, 256)
    np.testing.assert_array_equal(matrix.weights().numpy(), wanted)
    assert matrix.nbytes <= 64 * 256 * 1.5


@pytest.mark.parametrize("name", ["F32", "F16", "BF16", "INT4_ASYM_G32"])
def test_floats_and_plain_formats_are_kept_as_floats(name: str) -> None:
    weights = np.random.default_rng(0).standard_normal((8, 64)).astype(np.float32)
    tensor = quantize(weights, name, threads=1)
    matrix = DeviceMatrix(tensor, CPU)
    wanted = kernels.decode(tensor.format, tensor.data).reshape(8, 64)
    np.testing.assert_array_equal(matrix.weights().numpy(), wanted)


@pytest.mark.parametrize("name", SOME)
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_torch_engine_gives_our_logits(name: str, device: str, tmp_path: Path) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device here")
    family: Family = FAMILIES[name]
    path = write_gguf(tmp_path / "tiny.gguf", family, random_model(family), "Q8_0")
    checkpoint = open_checkpoint(path)
    ours = load_model(checkpoint, threads=1)
    theirs = load_model(checkpoint, threads=1, engine="torch", device=device)
    tokens = np.random.default_rng(2).integers(0, VOCABULARY, (2, 40))
    cache = theirs.cache(40, sequences=2)
    parts = [theirs.logits(part, cache) for part in np.split(tokens, [30, 31], axis=1)]
    # Logits of size 4, both some 1e-6 from float64.
    assert np.abs(np.concatenate(parts, axis=1) - ours.logits(tokens)).max() < 5e-5
    zero = quantize(np.zeros((VOCABULARY, 64), np.float32), "F16", threads=1)
    theirs.replace(theirs.architecture.output, zero)  # type: ignore[attr-defined]
    assert np.abs(theirs.logits(tokens[0])).max() == 0


def test_a_device_that_is_not_there_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = FAMILIES["llama"]
    checkpoint = open_checkpoint(write_gguf(tmp_path / "t.gguf", family, random_model(family)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for engine, device, says in (
        ("compiled", "cuda", "runs on the processor"),
        ("torch", "cuda", "torch finds no cuda device"),
        ("torch", "toaster", "'toaster' is not supported"),
    ):
        with pytest.raises(UnsupportedModel, match=says):
            load_model(checkpoint, engine=engine, device=device)  # type: ignore[arg-type]
