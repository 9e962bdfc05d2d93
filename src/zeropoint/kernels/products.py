"""Multiply activations with weights that stay blocks: out = x · Wᵀ, decoded on the fly.

A `PackedMatrix` holds the blocks of one matrix in the order the kernels read them, in as many bytes
as the blocks themselves (TQ1_0 grows from 1.69 to 2.06 bits per weight). Two modes:

    exact   float32 activations; measurements run on it
    fast    activations rounded to 8 bits, one scale for 32 columns; generation runs on it

In both an output's bits depend on its row, its activations and the instruction set only: not on
threads, on the batch it stands in, or on how the work was cut.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import FormatError, ZeropointError
from zeropoint.formats import F32, U8, Format, QuantizedTensor, check_shape, find_format
from zeropoint.kernels.dispatch import decode, native

if TYPE_CHECKING:
    from types import ModuleType

    from zeropoint.kernels._native import PackedMatrix

Mode = Literal["exact", "fast"]
ROWS = 16  # of a panel: slabs start at multiples of it


def module() -> "ModuleType":
    """Return the compiled extension. Raises ZeropointError where it was not built."""
    compiled = native()
    if compiled is None:
        raise ZeropointError(
            "products with quantized weights need the compiled extension, which is missing here: "
            "install zeropoint with a C++ compiler at hand"
        )
    return compiled


def has_products(format: Format) -> bool:
    """Tell whether `matmul` multiplies with this format's blocks; others are kept as float32."""
    return bool(module().supports_products(format.name))


def pack(tensor: QuantizedTensor, *, threads: int = 1) -> "PackedMatrix":
    """Rearrange the blocks of a (rows, columns) tensor for `matmul`.

    A format that has no kernel is decoded and kept as float32: 4 bytes per weight.
    Raises FormatError if the tensor is no matrix or its rows are no whole blocks.
    """
    return pack_slabs(tensor.format, tensor.shape, [tensor.data], threads=threads)


def pack_slabs(
    format: Format, shape: tuple[int, ...], slabs: Iterable[U8], *, threads: int = 1
) -> "PackedMatrix":
    """Pack a matrix from slabs of its blocks, top to bottom, each let go before the next is asked.

    Every slab but the last holds a multiple of 16 rows.
    Raises FormatError if the slabs are not the rows of `shape`.
    """
    if len(shape) != 2:
        raise FormatError(f"a product needs a matrix, (rows, columns); this has shape {shape}")
    check_shape(format, shape)
    rows, columns = shape
    kept = format if module().supports_products(format.name) else find_format("F32")
    packed: PackedMatrix = module().PackedMatrix(kept.name, rows, columns)
    row_bytes = columns // format.block_size * format.block_bytes
    first = 0
    for slab in slabs:
        count, rest = divmod(slab.size, row_bytes)
        if rest or first + count > rows or (count % ROWS and first + count < rows):
            raise FormatError(
                f"a slab of {slab.size} bytes after row {first} does not fit {rows} rows of "
                f"{row_bytes} bytes in steps of {ROWS} rows"
            )
        blocks = np.ascontiguousarray(slab).reshape(-1)
        if kept is not format:
            weights = decode(format, blocks.reshape(-1, format.block_bytes), threads=threads)
            blocks = weights.reshape(-1).view(np.uint8)
        packed.set_rows(first, blocks, threads)
        first += count
    if first != rows:
        raise FormatError(f"got {first} rows for a matrix of {rows}")
    return packed


def matmul(
    packed: "PackedMatrix",
    x: F32,
    *,
    out: F32 | None = None,
    rows: range | None = None,
    mode: Mode = "exact",
    threads: int = 1,
) -> F32:
    """x · Wᵀ: (n, columns) float32 activations to (n, rows), written to `out` if that is given.

    `rows`: only these rows of W, from a multiple of 16 on. Raises ValueError if the shapes do not
    fit each other.
    """
    outs = None if out is None else [out]
    return matmul_many([packed], x, outs=outs, rows=rows, mode=mode, threads=threads)[0]


def matmul_many(
    packed: Sequence["PackedMatrix"],
    x: F32,
    *,
    outs: Sequence[F32] | None = None,
    rows: range | None = None,
    mode: Mode = "exact",
    threads: int = 1,
) -> list[F32]:
    """Multiply the same activations with several matrices: rounded once, shared out in one go.

    `rows`: only these rows of each, from a multiple of 16 on. Raises ValueError if shapes do not
    fit, TypeError if `outs` are not contiguous float32 arrays.
    """
    if x.ndim != 2 or any(x.shape[1] != matrix.columns for matrix in packed):
        raise ValueError(
            f"activations of {x.shape} for {[matrix.columns for matrix in packed]} columns"
        )
    shapes = [(x.shape[0], matrix.rows if rows is None else len(rows)) for matrix in packed]
    if outs is None:
        outs = [np.empty(shape, np.float32) for shape in shapes]
    if [out.shape for out in outs] != shapes:
        raise ValueError(f"outputs of {[out.shape for out in outs]} do not fit {shapes}")
    for out in outs:  # the binding would fill a converted copy, and nobody would see it
        if out.dtype != np.float32 or not (out.flags.c_contiguous and out.flags.writeable):
            raise TypeError("outputs are written in place: contiguous, writable float32 arrays")
    x = np.ascontiguousarray(x, np.float32)
    first = 0 if rows is None else rows.start
    module().matmul(list(packed), x, list(outs), first, mode, threads)
    return list(outs)


def unpack_rows(packed: "PackedMatrix", rows: NDArray[np.int64], *, threads: int = 1) -> F32:
    """Decode the rows of these indices: (n, columns), the bits of `decode`; an embedding's look-up.

    Raises IndexError for a row that is not there.
    """
    out = np.empty((len(rows), packed.columns), np.float32)
    packed.get_rows(np.ascontiguousarray(rows, np.int64), out, threads)
    return out
