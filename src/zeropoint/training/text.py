"""The text of a training run: tokens to train on, and windows that are held out.

Batch t is a pure function of (seed, t), so a run that was stopped continues with the same batches.
"""

import hashlib
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError

I64 = NDArray[np.int64]

HELD_OUT_EVERY = 20  # documents: one of so many is held out
MAX_WINDOWS = 64  # that are held out
_NOT_READ = {"test", "tests", "idlelib", "site-packages", "dist-packages", "__pycache__"}


@dataclass(frozen=True)
class TextParts:
    """Documents to train on and to evaluate on."""

    training: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def hash(self) -> str:
        """SHA-256 over all documents."""
        digest = hashlib.sha256()
        for part in (self.training, self.held_out):
            for text in (str(len(part)), *part):
                data = text.encode(errors="surrogatepass")
                digest.update(len(data).to_bytes(8, "little") + data)
        return digest.hexdigest()


def library_documents() -> dict[str, str]:
    """Return the sources of Python's standard library, without tests, and its help topics.

    They depend on the version of Python.
    """
    root = Path(sysconfig.get_path("stdlib"))
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root)
        if not _NOT_READ.intersection(parts.parts):
            found[parts.as_posix()] = path.read_text(errors="replace")
    return found


def split_documents(documents: Mapping[str, str]) -> TextParts:
    """Hold out one of 20 documents, or of fewer documents the last twentieth of each."""
    if len(documents) < HELD_OUT_EVERY:
        cuts = [len(text) * (HELD_OUT_EVERY - 1) // HELD_OUT_EVERY for text in documents.values()]
        pairs = list(zip(documents.values(), cuts, strict=True))
        return TextParts(
            tuple(text[:cut] for text, cut in pairs), tuple(text[cut:] for text, cut in pairs)
        )

    def is_held_out(name: str) -> bool:
        return int(hashlib.sha256(name.encode(errors="replace")).hexdigest(), 16) % (
            HELD_OUT_EVERY
        ) == (0)

    return TextParts(
        tuple(text for name, text in documents.items() if not is_held_out(name)),
        tuple(text for name, text in documents.items() if is_held_out(name)),
    )


@dataclass(frozen=True)
class TrainingTokens:
    """The text as tokens, cut for one length of context."""

    tokens: NDArray[np.int32]
    #: (windows, context + 1)
    held_out: I64
    context: int

    def batch(self, seed: int, step: int, windows: int) -> I64:
        """Return the windows of a step, (windows, context + 1), from random positions."""
        random = np.random.default_rng([seed, step])
        starts = random.integers(0, len(self.tokens) - self.context, windows)
        rows: I64 = self.tokens[starts[:, None] + np.arange(self.context + 1)].astype(np.int64)
        return rows


def tokenize(
    parts: TextParts, encode: Callable[[str], Sequence[int]], context: int
) -> TrainingTokens:
    """Encode the text. Raises MeasurementError if it is too short for a context of this length."""
    training, held_out = (
        np.array([token for text in part for token in encode(text)], np.int32)
        for part in (parts.training, parts.held_out)
    )
    span = context + 1
    windows = min(len(held_out) // span, MAX_WINDOWS)
    if not windows or len(training) < 2 * span:
        raise MeasurementError(
            f"the text has {len(training):,} tokens to train on and {len(held_out):,} that are held"
            f" out; a context of {context} needs at least {2 * span:,} and {span:,}"
        )
    starts = np.linspace(0, len(held_out) - span, windows).astype(np.int64)
    rows = held_out[starts[:, None] + np.arange(span)].astype(np.int64)
    return TrainingTokens(training, rows, context)
