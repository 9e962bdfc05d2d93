"""The text of a healing: to train on, and to decide with, which includes an untrained kind."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.calibration.corpus import KINDS, Corpus, builtin_corpus, join
from zeropoint.calibration.text_parts import open_parts

DEFAULT_TEXT = "builtin:prose,code,dialogue,science"
#: Candidates for the kind that is not trained on: the most distant from others comes first.
UNTRAINED_KINDS = ("languages", "science", "prose", "code", "dialogue", "long")


@dataclass(frozen=True)
class HealTexts:
    """The texts by their purpose; the part for figures, `evaluate`, is never read."""

    train: Corpus
    #: The kinds of `train` and one more.
    guard: Corpus
    untrained_kind: str


def open_texts(texts: Sequence[str | Path]) -> HealTexts:
    """Return the parts of the texts that a user named, or of DEFAULT_TEXT.

    Raises what `open_parts` raises.
    """
    parts = open_parts(texts or [DEFAULT_TEXT])
    trained = parts["calibrate"].domains
    untrained = next((kind for kind in UNTRAINED_KINDS if kind not in trained), KINDS[0])
    guard = parts["select"]
    if untrained not in trained:
        guard = join([guard, builtin_corpus("select", (untrained,))])
    return HealTexts(parts["calibrate"], guard, untrained)
