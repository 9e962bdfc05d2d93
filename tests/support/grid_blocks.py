"""Weights, importance and golden blocks for the tests of the IQ encoders."""

from pathlib import Path

import numpy as np

from support.block_classes import BLOCKS, IMPORTANCE
from zeropoint.formats import F32

COLUMNS = 512
GOLDEN_FILES = Path(__file__).parent.parent / "golden"
GOLDEN = np.load(GOLDEN_FILES / "encode.npz")  # its weights and importance
GRID_BLOCKS = np.load(GOLDEN_FILES / "grid_blocks.npz")  # ggml's errors, and our blocks


def rows_of(*kinds: str, seed: int = 2) -> F32:
    """Return one row of weights of each kind, (kinds, COLUMNS)."""
    rng = np.random.default_rng(seed)
    return np.stack([BLOCKS[kind](rng, COLUMNS) for kind in kinds])


def importance_of(kind: str, seed: int = 3) -> F32 | None:
    """Return importance of a kind, (COLUMNS,); None for "none"."""
    return None if kind == "none" else IMPORTANCE[kind](np.random.default_rng(seed), COLUMNS)
