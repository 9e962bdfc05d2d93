"""A model file stored again with 8-bit blocks, whatever encoders there are."""

from pathlib import Path

import numpy as np

from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.formats import FORMATS
from zeropoint.quantizers import dequantize


def store_as_q8_0(source: Path, output: Path) -> Path:
    """Round every matrix to the nearest Q8_0."""
    model, q8 = open_checkpoint(source), FORMATS["Q8_0"]
    infos = [
        NewTensor(t.name, t.shape, q8 if len(t.shape) > 1 else t.format)
        for t in model.tensors.values()
    ]
    with create_checkpoint(output, infos, model.metadata) as writer:
        for info in infos:
            stored = model.read(info.name)
            data = stored.data
            if len(info.shape) > 1:
                weights = dequantize(stored, threads=1).reshape(-1, 32)
                scales = (np.abs(weights).max(1) / 127).astype("<f2")
                steps = np.maximum(scales.astype(np.float32), 1e-12)[:, None]
                codes = np.clip(np.rint(weights / steps), -127, 127).astype(np.int8)
                data = np.concatenate([scales[:, None].view(np.uint8), codes.view(np.uint8)], 1)
            writer.write(info.name, data)
    return output
