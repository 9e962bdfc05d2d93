"""Write the golden files of this folder with ggml: see README.md."""

from pathlib import Path

import numpy as np

from support import ggml_peer
from zeropoint.formats import FORMATS, GGML_TYPES

HERE = Path(__file__).parent
NO_DECODER = {"F32", "F64", "I8", "I16", "I32", "I64"}  # in ggml's traits
SUPER_BLOCKS = ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS")
GRIDS = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
ENCODED = (
    *("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"),
    *("IQ4_NL", "IQ4_XS", "MXFP4", "NVFP4", "Q1_0", "Q2_0", "TQ1_0", "TQ2_0"),
)


def decoded() -> dict[str, np.ndarray]:
    """Return, per type, some blocks and what ggml decodes them to."""
    arrays = {}
    for format in GGML_TYPES.values():
        if format.name in NO_DECODER:
            continue
        rng = np.random.default_rng(format.ggml_type)
        blocks = rng.integers(0, 256, (5, format.block_bytes), np.uint8)
        blocks[0], blocks[1] = 0, 255
        arrays[f"{format.name}/blocks"] = blocks
        arrays[f"{format.name}/weights"] = ggml_peer.decode(
            format.ggml_type, blocks, format.block_size
        )
    return arrays


def encoded() -> dict[str, np.ndarray]:
    """Return weights, importance, and per type the squared error of ggml's blocks, per row.

    With importance, an error in a super-block format costs the importance times `size_factors`:
    what ggml and we minimize there.
    """
    rng = np.random.default_rng(2026)
    rows = [
        rng.normal(size=(4, 512)) * 0.02,
        rng.laplace(size=(4, 512)) * 0.03,
        rng.standard_t(3, (4, 512)) * 0.01,
        rng.normal(size=(4, 512)) * np.exp(rng.normal(size=(4, 512))) * 0.5,
    ]
    weights = np.concatenate(rows).astype(np.float32)
    importance = np.exp(1.5 * rng.normal(size=512)).astype(np.float32)
    arrays = {"weights": weights, "importance": importance}
    by_name = {format.name: format for format in GGML_TYPES.values()}
    for name in ENCODED:
        format = by_name[name]
        shape = format.block_size, format.block_bytes
        for key, given in (("plain", None), ("weighted", importance)):
            blocks = ggml_peer.encode(format.ggml_type, weights, given, shape)
            back = ggml_peer.decode(format.ggml_type, blocks, format.block_size).reshape(
                weights.shape
            )
            cost = 1.0 if given is None else given.astype(np.float64)
            if given is not None and name in SUPER_BLOCKS:
                cost = cost * size_factors(weights)
            error = (cost * (weights.astype(np.float64) - back) ** 2).sum(axis=1)
            arrays[f"{name}/{key}"] = error
    return arrays


def size_factors(weights: np.ndarray) -> np.ndarray:
    """Return √(2 · mean square of the block of 256 + weight²) of each weight, in float64."""
    x = weights.astype(np.float64).reshape(len(weights), -1, 256)
    factors: np.ndarray = np.sqrt(2 * (x**2).mean(axis=2, keepdims=True) + x**2)
    return factors.reshape(weights.shape)


def importance_blocks(weights: np.ndarray, importance: np.ndarray) -> dict[str, np.ndarray]:
    """Return, per super-block format, our blocks of one row of each kind of weights."""
    rows = weights[::4].reshape(-1, 256)
    given = np.tile(importance.reshape(-1, 256), (len(weights[::4]), 1))
    return {name: FORMATS[name].encode_blocks(rows, given) for name in SUPER_BLOCKS}


def grid_blocks(weights: np.ndarray, importance: np.ndarray) -> dict[str, np.ndarray]:
    """Return, per format with a grid, ggml's error of each row, and our blocks of some rows.

    The error is that of `encoded`, with importance. ggml requires it in most of these formats.
    """
    arrays = {}
    cost = importance.astype(np.float64) * size_factors(weights)
    rows = weights[::4].reshape(-1, 256)
    given = np.tile(importance.reshape(-1, 256), (len(weights[::4]), 1))
    for format in GGML_TYPES.values():
        if format.name not in GRIDS:
            continue
        shape = format.block_size, format.block_bytes
        blocks = ggml_peer.encode(format.ggml_type, weights, importance, shape)
        back = ggml_peer.decode(format.ggml_type, blocks, 256).reshape(weights.shape)
        error = (cost * (weights.astype(np.float64) - back) ** 2).sum(axis=1)
        arrays[f"{format.name}/error"] = error
        arrays[f"{format.name}/plain"] = format.encode_blocks(rows)
        arrays[f"{format.name}/weighted"] = format.encode_blocks(rows, given)
    return arrays


if __name__ == "__main__":
    np.savez_compressed(HERE / "decode.npz", **decoded())
    arrays = encoded()
    np.savez_compressed(HERE / "encode.npz", **arrays)
    blocks = importance_blocks(arrays["weights"], arrays["importance"])
    np.savez_compressed(HERE / "importance_blocks.npz", **blocks)
    grids = grid_blocks(arrays["weights"], arrays["importance"])
    np.savez_compressed(HERE / "grid_blocks.npz", **grids)
