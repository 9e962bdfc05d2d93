"""Matrices on a torch device: one byte per weight plus scales, decoded for each product.

Every block format computes w = scale · q + minimum with a small integer q (see `formats.parts`), so
one rule decodes all of them to the same bits as `kernels.decode`. The purpose is memory and not
speed: about 1.25 bytes per weight, where float32 needs 4.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zeropoint import kernels
from zeropoint.formats import F32, U8, QuantizedTensor
from zeropoint.formats.parts import Parts
from zeropoint.formats.storage import StorageFormat

_FLOATS = {"BF16": torch.bfloat16, "F16": torch.float16}
_SLAB_WEIGHTS = 1 << 22  # weights that are split into integers and scales at a time


class DeviceMatrix:
    """A matrix (rows, columns) that is stored on a device as small integers."""

    def __init__(self, tensor: QuantizedTensor, device: torch.device) -> None:
        self.shape = tensor.shape
        format = tensor.format
        blocks = tensor.data.reshape(-1, format.block_bytes)
        if format.block_size == 1 or not isinstance(format, StorageFormat):
            whole = torch.from_numpy(kernels.decode(format, blocks))
            self.codes = whole.to(device, _FLOATS.get(format.name, torch.float32))
            self.scale = self.minimum = None
            return
        codes, scales, minimums = split_blocks(format, blocks)
        self.codes = torch.from_numpy(codes).to(device)
        self.scale = torch.from_numpy(scales).to(device)
        self.minimum = None if minimums is None else torch.from_numpy(minimums).to(device)

    @property
    def nbytes(self) -> int:
        """Bytes that the matrix takes on the device."""
        parts = (self.codes, self.scale, self.minimum)
        return sum(part.numel() * part.element_size() for part in parts if part is not None)

    def weights(self) -> Tensor:
        """Return the (rows, columns) float32 weights, identical to those of `kernels.decode`."""
        weights = self.codes.float()
        if self.scale is not None:
            weights = weights.view(*self.scale.shape, -1) * self.scale[..., None]
        if self.minimum is not None:
            weights = weights + self.minimum[..., None]
        return weights.view(self.shape)

    def multiply(self, x: Tensor) -> Tensor:
        """Return x · Wᵀ (…, rows) of x (…, columns)."""
        return torch.nn.functional.linear(x, self.weights())


def split_blocks(format: StorageFormat, blocks: U8) -> tuple[NDArray[np.int8], F32, F32 | None]:
    """Return `take_apart` of (n, block_bytes) blocks, in slabs that bound the memory."""
    step = _SLAB_WEIGHTS // format.block_size
    found = [take_apart(format.parts(blocks[at : at + step])) for at in range(0, len(blocks), step)]
    codes, scales, minimums = zip(*found, strict=True)
    least = None if minimums[0] is None else np.concatenate(minimums)
    return np.concatenate(codes), np.concatenate(scales), least


def take_apart(parts: Parts) -> tuple[NDArray[np.int8], F32, F32 | None]:
    """Return q (n, block_size), scales and minimums (n, groups) with w = scale · q + minimum."""
    values = parts.codes.astype(np.float32) if parts.values is None else parts.values
    (count, size), groups = values.shape, parts.scale.shape[1]
    if parts.zero_point is not None:
        values = values - np.repeat(parts.zero_point, size // groups, axis=1)
    # IQ1's grid values are multiples of 1/8; a power of two does not change the product's rounding.
    eighths = 1 if (values == np.rint(values)).all() else 8
    q = (values * np.float32(eighths)).astype(np.int8)
    assert np.array_equal(q, values * np.float32(eighths)), "a format whose values are no integers"
    return q.reshape(count, size), parts.scale / np.float32(eighths), parts.minimum
