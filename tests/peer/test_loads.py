"""Stock llama.cpp loads whatever `quantize` writes, and computes what it says."""

from pathlib import Path

import numpy as np
import pytest

from support import llama_peer
from support.tiny_models import write_model
from zeropoint import kernels
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import RecipeError
from zeropoint.formats import FORMATS
from zeropoint.plans import PRESETS, choose_formats
from zeropoint.quantizers import WriteOptions, quantize_tensors

pytestmark = pytest.mark.peer

MODELS = {
    "llama": {},
    "gemma3": {"architecture": "gemma3", "columns": 320},  # tied, rows no multiple of 256
    "qwen2": {"architecture": "qwen2"},  # biases
    "experts": {"experts": 4},
}
# Formats that llama.cpp multiplies with, as far as they can be encoded by now.
TARGETS = sorted(
    {name for name in FORMATS if kernels.has_encoder(name)} | {*PRESETS} - {"COPY", "F64"}
)


def write(source: Path, output: Path, to: str) -> bool:
    """Write `source` in `to`; False where no encoder for some format of it exists yet."""
    with open_checkpoint(source) as checkpoint:
        choices = choose_formats(checkpoint, to)
        if not all(kernels.has_encoder(c.format.name) for c in choices if c.changes):
            return False
        options = WriteOptions(to=to, requantize=True)
        for _ in quantize_tensors(checkpoint, choices, output, threads=1, options=options):
            pass
    return True


@pytest.mark.parametrize("model", MODELS)
def test_every_preset_and_format_loads_and_means_the_same(model: str, tmp_path: Path) -> None:
    """Against the same weights in float32: what differs is how llama.cpp rounds activations.

    It rounds them to 8 bits, so each product is off by up to 1/254 of its largest term; through two
    layers that stays well under a tenth, while a wrong byte anywhere is an error of order 1.
    """
    source = write_model(tmp_path / "source.gguf", **MODELS[model])
    files, targets = [], []
    for to in TARGETS:
        output = tmp_path / f"{to}.gguf"
        try:
            written = write(source, output, to)
        except RecipeError:
            continue  # a format that no row of this model fits
        if written:
            assert write(output, tmp_path / f"{to}-decoded.gguf", "F32")
            targets.append(to)
            files += [output, tmp_path / f"{to}-decoded.gguf"]
    assert {*PRESETS} - {"COPY", "Q1_0"} <= set(targets)
    found = llama_peer.logits(files)
    assert np.isfinite(found).all()
    for to, quant, exact in zip(targets, found[0::2], found[1::2], strict=True):
        difference = np.sqrt(np.mean((quant - exact) ** 2)) / exact.std()
        assert difference < 0.1, (to, difference)
