"""One real dot product: a row of a matrix with an activation vector, as the kernel computes it.

This module computes nothing of the product itself: `kernels.trace` returns the kernel's own sums.
A request names a row and a unit of 32 of its columns; of the other units only totals are returned.
"""

import re
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.checkpoints.names import TOKEN_EMBEDDING
from zeropoint.errors import MeasurementError
from zeropoint.formats import F32, QuantizedTensor, find_format
from zeropoint.kernels.traces import UNIT_COLUMNS
from zeropoint.metrics.speed.this_machine import load_devices
from zeropoint.plans.formats import inventory
from zeropoint.plans.speed.multiply import multiplication
from zeropoint.quantizers import quantize
from zeropoint.studio.data.page_data import PageData

MAX_BLOCK_BYTES = 512  # bytes; blocks of more are whole rows, and not shown byte by byte
DEFAULT_TOKENS = ("the", "a", "and")
NORM_BEFORE = {
    "attn_q": "blk.{}.attn_norm", "attn_k": "blk.{}.attn_norm", "attn_v": "blk.{}.attn_norm",
    "attn_qkv": "blk.{}.attn_norm", "ffn_gate": "blk.{}.ffn_norm", "ffn_up": "blk.{}.ffn_norm",
    "ffn_gate_inp": "blk.{}.ffn_norm", "ffn_gate_exps": "blk.{}.ffn_norm",
    "ffn_up_exps": "blk.{}.ffn_norm", "token_embd": "output_norm", "output": "output_norm",
}  # fmt: skip


@dataclass(frozen=True)
class ProductRequest:
    """One row of a matrix, 32 of its columns, and the activations that it is multiplied with."""

    row: int
    unit: int  # which 32 columns, counted from 0
    format: str  # to quantize the row to; "": the file's own
    kind: str  # of activations: token, seed or text
    token: str
    seed: int
    text: str


@dataclass(frozen=True)
class Activations:
    """A vector of activations, and its origin."""

    x: F32  # (columns,) float32
    origin: str


def product_of(
    checkpoint: Checkpoint, info: TensorInfo, request: ProductRequest, inputs: Activations
) -> PageData:
    """Return a row's product: one unit in full, and the totals of all units. Raises FormatError."""
    stored = checkpoint.read_rows(info.name, request.row, request.row + 1)
    if request.format:
        given = kernels.decode(stored.format, stored.data).reshape(1, -1)
        stored = quantize(given, find_format(request.format), threads=1)
    trace = kernels.trace(stored, inputs.x, 0, "fast")
    weights = kernels.decode(stored.format, stored.data).reshape(-1)
    first = request.unit * UNIT_COLUMNS
    here = slice(first, min(first + UNIT_COLUMNS, info.columns))
    u = request.unit
    figures: PageData = {
        "row": request.row, "unit": u, "columns": info.columns, "first": first,
        "format": stored.format.name, "bits_per_weight": stored.format.bits_per_weight,
        "kept_as": kernels.pack(stored).format, "variant": kernels.variant(),
        "row_bytes": int(stored.data.size), "weights": weights[here], "x": inputs.x[here],
        "told": inputs.origin, "block": block_of(stored, first),
        "totals": trace.totals, "result": float(trace.result),
        "exact": float(weights.astype(np.float64) @ inputs.x.astype(np.float64)),
    }  # fmt: skip
    if isinstance(trace, kernels.FloatTrace):
        return {**figures, "chains": trace.chains[u][: here.stop - first]}
    return {
        **figures,
        "codes": trace.codes[u],
        "zero_point": trace.zero_point,
        "activation_codes": trace.activation_codes[u],
        "activation_scale": float(trace.activation_scales[u]),
        "starts": trace.starts[u],
        "dots": trace.dots[u],
        "scales": trace.scales[u],
        "minimums": None if trace.minimums is None else trace.minimums[u],
        "activation_sums": None if trace.activation_sums is None else trace.activation_sums[u],
        "all_dots": trace.dots.reshape(-1),
    }


def block_of(stored: QuantizedTensor, column: int) -> PageData | None:
    """Return the bytes of a column's block, and the weights that each of their bits changes.

    `owners`: for each bit (of each byte the lowest first) how many weights it changes.
    `own`: for each of the 32 columns the bits that change it and at most 8 others. Both are found
    by flipping every bit and decoding again, so no layout has to be described. Formats whose
    blocks are single weights are shown 32 at a time. None for blocks that are whole long rows.
    """
    format = stored.format
    size, length = format.block_size, format.block_bytes
    if size == 1:
        data = stored.data.reshape(-1)[column * length : (column + UNIT_COLUMNS) * length]
        bits = np.arange(data.size * 8).reshape(-1, 8 * length)
        return {"first": column, "weights": len(bits), "bytes": data.astype(np.int32),
                "owners": np.ones(data.size * 8, np.int32), "own": bits.tolist()}  # fmt: skip
    if length > MAX_BLOCK_BYTES:
        return None
    index = column // size
    blocks = stored.data.reshape(-1, length)
    # A scale of 0 hides the effect of its codes, so other blocks of the row are examined.
    near = blocks[[index, *[i for i in range(len(blocks)) if i != index][:2]]]
    changed = changes(stored, near)
    owners = changed.sum(axis=1)
    inside = column % size
    own = [
        [int(bit) for bit in np.flatnonzero(changed[:, c] & (owners <= 8))]
        for c in range(inside, min(inside + UNIT_COLUMNS, size))
    ]
    return {"first": index * size, "weights": size, "bytes": blocks[index].astype(np.int32),
            "owners": owners.astype(np.int32), "own": own}  # fmt: skip


def changes(stored: QuantizedTensor, blocks: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return (bits of a block, weights): which weights change in any of the blocks with a bit."""
    count, length = blocks.shape
    bits = np.arange(length * 8)
    flipped = np.repeat(blocks[None], length * 8, axis=0)  # (bits, blocks, bytes)
    flipped[bits, :, bits // 8] ^= (1 << (bits % 8)).astype(np.uint8)[:, None]
    with np.errstate(all="ignore"):  # scales may become infinite, and are only compared
        before = kernels.decode(stored.format, blocks).view(np.uint32)
        after = kernels.decode(stored.format, flipped.reshape(-1, length)).view(np.uint32)
    differs = after.reshape(length * 8, count, -1) != before[None]
    return np.asarray(differs.any(axis=1))


# Activations


def inputs_of(checkpoint: Checkpoint, info: TensorInfo, request: ProductRequest) -> Activations:
    """Return the input of a matrix: a token's embedding after the norm, or random values."""
    if request.kind == "token":
        activations = embedding(checkpoint, info, request.token)
        if activations is not None:
            return activations
    x = np.random.default_rng(request.seed).standard_normal(info.columns).astype(np.float32)
    why = "" if request.kind == "seed" else (
        ": no token's embedding is as wide as this matrix, or comes to it through a norm"
    )  # fmt: skip
    return Activations(x, f"normal random numbers, seed {request.seed}{why}")


def embedding(checkpoint: Checkpoint, info: TensorInfo, token: str) -> Activations | None:
    """Return a token's embedding after the norm before the matrix; None if the sizes differ.

    For the first layer this is the input of the matrix, because the norm cancels Gemma's scaling
    of embeddings. For other layers, it is the input without the layers before. Raises
    MeasurementError for a token that is not in the vocabulary.
    """
    table = checkpoint.tensors.get(TOKEN_EMBEDDING)
    kind = inventory.kind_of(info.name)
    layer = info.name.split(".")[1] if info.name.startswith("blk.") else ""
    name = NORM_BEFORE.get(kind, "").format(layer)
    norm = checkpoint.tensors.get(f"{name}.weight")
    if table is None or norm is None or not table.columns == norm.elements == info.columns:
        return None
    id, piece = token_of(checkpoint, token, table.rows)
    row = checkpoint.read_rows(table.name, id, id + 1)
    x = kernels.decode(row.format, row.data).reshape(-1).astype(np.float64)
    factor = checkpoint.read(norm.name)
    scale = kernels.decode(factor.format, factor.data).reshape(-1)
    rms = float(np.sqrt(np.square(x).mean()))
    if not (np.isfinite(rms) and rms > 0):
        return None
    origin = f"the embedding of token {id}, “{piece}”, after {norm.name}"
    return Activations(np.asarray(x / rms * scale, np.float32), origin)


def token_of(checkpoint: Checkpoint, text: str, rows: int) -> tuple[int, str]:
    """Return the id of a token, given as text or as #id, and its piece."""
    pieces = checkpoint.metadata.get("tokenizer.ggml.tokens")
    known = [] if pieces is None else list(pieces)[:rows]  # type: ignore[call-overload]
    if re.fullmatch(r"#[0-9]{1,9}", text):
        id = int(text[1:])
        if id >= rows:
            raise MeasurementError(f"there is no token {text}: the vocabulary has {rows}")
        return id, known[id] if id < len(known) else text
    for word in [text] if text else DEFAULT_TOKENS:
        for spelled in ("▁" + word, "Ġ" + word, word):
            if spelled in known:
                return known.index(spelled), spelled.replace("▁", " ").replace("Ġ", " ")
    if text:
        raise MeasurementError(
            f"“{text}” is not a single token of this vocabulary; #123 selects a token by its id"
        )
    return rows // 2, known[rows // 2] if rows // 2 < len(known) else f"#{rows // 2}"


def runtime_arithmetic(device: str, format: str) -> PageData:
    """Return the data of `explain multiply`. Raises FormatError, RecipeError for unknown names."""
    return asdict(multiplication(load_devices().find(device), find_format(format)))
