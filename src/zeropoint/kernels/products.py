"""Matrix products with quantized weights: out = x · Wᵀ, with W decoded on the fly.

A `PackedMatrix` holds the blocks of a matrix in the order in which kernels read them, in as many
bytes as the blocks (TQ1_0 grows from 1.69 to 2.06 bits per weight). There are two modes:

    exact   float32 activations; used for measurements
    fast    activations rounded to 8 bits with a scale for 32 columns; used for generation

In both modes an output depends only on its row of W, its activations and the instruction set, bit
for bit. It does not depend on threads, on the batch, or on how the work was divided.
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
PANEL_ROWS = 16  # slabs start at a multiple of it


def module() -> "ModuleType":
    """Return the compiled extension. Raises ZeropointError where it was not built."""
    compiled = native()
    if compiled is None:
        raise ZeropointError(
            "products with quantized weights need the compiled extension, which is not installed; "
            "reinstall zeropoint with a C++ compiler present"
        )
    return compiled


def has_products(format: Format) -> bool:
    """Return whether `matmul` multiplies blocks of a format; others are converted to float32."""
    return bool(module().supports_products(format.name))


def pack(tensor: QuantizedTensor, *, threads: int = 1) -> "PackedMatrix":
    """Rearrange the blocks of a (rows, columns) tensor for `matmul`.

    A format without a kernel is converted to float32, which takes 4 bytes per weight. Raises
    FormatError if the tensor is not a matrix or its rows are not whole blocks.
    """
    return pack_slabs(tensor.format, tensor.shape, [tensor.data], threads=threads)


def pack_slabs(
    format: Format, shape: tuple[int, ...], slabs: Iterable[U8], *, threads: int = 1
) -> "PackedMatrix":
    """Pack a (rows, columns) matrix from slabs of its blocks, top to bottom, one at a time.

    Every slab but the last holds a multiple of 16 rows. Raises FormatError if the slabs do not add
    up to the rows of `shape`.
    """
    if len(shape) != 2:
        raise FormatError(f"a product needs a (rows, columns) matrix, but the shape is {shape}")
    check_shape(format, shape)
    rows, columns = shape
    stored = format if module().supports_products(format.name) else find_format("F32")
    packed: PackedMatrix = module().PackedMatrix(stored.name, rows, columns)
    row_bytes = columns // format.block_size * format.block_bytes
    first = 0
    for slab in slabs:
        count, rest = divmod(slab.size, row_bytes)
        if rest or first + count > rows or (count % PANEL_ROWS and first + count < rows):
            raise FormatError(
                f"a slab of {slab.size} bytes after row {first} does not fit {rows} rows of "
                f"{row_bytes} bytes in steps of {PANEL_ROWS} rows"
            )
        blocks = np.ascontiguousarray(slab).reshape(-1)
        if stored is not format:
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
    """Return x · Wᵀ of (n, columns) float32 activations, (n, rows), written to `out` if given.

    `rows` selects rows of W, starting at a multiple of 16. Raises ValueError if shapes do not
    match.
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
    """Multiply the same activations with several matrices; they are rounded only once.

    `rows` selects rows of each matrix, starting at a multiple of 16. Raises ValueError if shapes do
    not match, TypeError if `outs` are not contiguous float32 arrays.
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
    for out in outs:  # the binding would fill a converted copy instead
        if out.dtype != np.float32 or not (out.flags.c_contiguous and out.flags.writeable):
            raise TypeError("outputs are written in place: contiguous, writable float32 arrays")
    x = np.ascontiguousarray(x, np.float32)
    first = 0 if rows is None else rows.start
    module().matmul(list(packed), x, list(outs), first, mode, threads)
    return list(outs)


def unpack_rows(packed: "PackedMatrix", rows: NDArray[np.int64], *, threads: int = 1) -> F32:
    """Decode the rows with these indices, as for an embedding: (n, columns), identical to `decode`.

    Raises IndexError for a row that does not exist.
    """
    out = np.empty((len(rows), packed.columns), np.float32)
    packed.get_rows(np.ascontiguousarray(rows, np.int64), out, threads)
    return out
