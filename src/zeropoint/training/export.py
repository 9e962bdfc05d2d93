"""Writes a trained model: the codes and scales that it was trained with, never encoded again.

    MXFP4      ggml's MXFP4: the same powers of two and the same elements
    NVFP4      ggml's NVFP4 and a tensor NAME.scale, which multiplies the product of the matrix
    TQ2_0      a scale in float16 for 256 weights, here the same for all of a matrix
    BF16       MXFP8 and MXFP6: GGUF has no such types, and bfloat16 holds their values exactly

Matrices that are not trained in the format, and the embedding, are written in float16, and vectors
in float32.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from zeropoint.checkpoints import Checkpoint, NewTensor, create_checkpoint
from zeropoint.checkpoints.names import is_matrix
from zeropoint.formats import F32, FORMATS, U8, StorageFormat
from zeropoint.formats.recode import code_set
from zeropoint.formats.scale_codes import scale_codes
from zeropoint.training.rounding import Blocks
from zeropoint.training.trainer import Trainer

# The factor of a stored scale code is that of a table of doubled elements.
_HALVED = ("MXFP4", "NVFP4")


def write_trained(
    trainer: Trainer,
    start: Checkpoint,
    output: Path,
    facts: Mapping[str, object],
    *,
    overwrite: bool,
) -> int:
    """Write the model of a trainer as GGUF; return the size of the file in bytes.

    `facts` are further keys of the header. Raises CheckpointError if the output cannot be written.
    """
    low_bits = set(trainer.low_bit_names())
    tensors: list[NewTensor] = []
    data: list[U8] = []
    for name in start.tensors:
        for tensor, stored in _stored(trainer, start, name, name in low_bits):
            tensors.append(tensor)
            data.append(stored)
    metadata = {**start.metadata, "general.quantization_version": 2, **facts}
    with create_checkpoint(
        output, tensors, metadata, sources=start.files, overwrite=overwrite
    ) as writer:
        for tensor, stored in zip(tensors, data, strict=True):
            writer.write(tensor.name, stored)
    return writer.file_bytes


def _stored(
    trainer: Trainer, start: Checkpoint, name: str, low_bits: bool
) -> list[tuple[NewTensor, U8]]:
    """Return the tensors that hold one tensor of the model, with their bytes."""
    if low_bits:
        format = FORMATS[trainer.format.stored]
        blocks = trainer.rounded(name)
        found = [(NewTensor(name, _shape(blocks), format), pack_blocks(format, blocks))]
        if blocks.factor is not None and format.name == "NVFP4":
            scale = blocks.factor.numpy().reshape(1).astype("<f4")
            label = name.removesuffix("weight") + "scale"
            found.append((NewTensor(label, (1,), FORMATS["F32"]), scale.view(np.uint8)))
        return found
    if name not in trainer.model.parameters:
        folded = name.endswith(".scale") and name.removesuffix("scale") + "weight" in start.tensors
        info = start.tensors[name]
        copied = NewTensor(name, info.shape, info.format)
        return [] if folded else [(copied, start.read(name).data.reshape(-1))]
    values = trainer.model.stored(name)
    kind = "F16" if is_matrix(name, values.shape) else "F32"
    stored = values.astype("<f2" if kind == "F16" else "<f4").reshape(-1).view(np.uint8)
    return [(NewTensor(name, values.shape, FORMATS[kind]), stored)]


def _shape(blocks: Blocks) -> tuple[int, ...]:
    return tuple(blocks.values.flatten(1).shape)


def pack_blocks(format: StorageFormat, blocks: Blocks) -> U8:
    """Return the bytes of rounded weights in a storage format: (blocks, block_bytes).

    The decoded bytes are scale · value; of TQ2_0 also times the factor.
    """
    values = blocks.values.flatten(1).numpy()
    if format.name == "BF16":
        bits = blocks.units().numpy().view(np.uint32) >> np.uint32(16)
        return bits.astype("<u2").reshape(-1, 1).view(np.uint8)
    rows = values.reshape(-1, format.block_size)
    codes = code_set(format)
    (scales,) = scale_codes(format)
    factors = _scale_factors(format, blocks).reshape(-1, format.block_size // scales.columns)
    empty = np.zeros((len(rows), format.block_bytes), np.uint8)
    stored = scales.store(empty, scales.nearest(factors))
    doubled = rows * 2 if format.name in _HALVED else rows
    return codes.store(stored, codes.codes[codes.nearest(doubled)])


def _scale_factors(format: StorageFormat, blocks: Blocks) -> F32:
    """Return the factor of each scale code in the order of the weights."""
    if blocks.scale is None:
        assert blocks.factor is not None
        weights = blocks.values.numel()
        return np.full(weights // format.block_size, float(blocks.factor), np.float32)
    halved: F32 = blocks.scale.numpy() * np.float32(0.5)
    return halved
