"""Splits text into parts that are read for different purposes: calibrate, select and evaluate.

Built-in text has these parts already. The text of a user's file is cut at two ends of lines:

    calibrate   the first 60 % of the characters
    select      the next 20 %
    evaluate    the last 20 %
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from zeropoint.calibration.corpus import PARTS, Corpus, Part, open_corpus, parse_builtin
from zeropoint.errors import MeasurementError

#: The share of a text before the end of each part.
PART_ENDS = {"calibrate": 0.6, "select": 0.8, "evaluate": 1.0}


def open_parts(texts: Sequence[str | Path]) -> dict[Part, Corpus]:
    """Return the three parts of the texts that a user named, or of the built-in text.

    A built-in text that names a part, as in "builtin:code/select", would be read in all three, so
    it is refused. Raises MeasurementError for this, for a file that is too short to be cut, and
    what `open_corpus` raises.
    """
    for text in texts:
        built_in = parse_builtin(str(text))
        if built_in and built_in[1]:
            raise MeasurementError(
                f"{text}: a search reads all three parts of a text, so leave out /{built_in[1]}"
            )
    built_in_names = set(open_corpus(_built_in(texts), "calibrate").domains)
    return {part: _part_of(open_corpus(texts, part), built_in_names, part) for part in PARTS}


def _built_in(texts: Sequence[str | Path]) -> list[str]:
    """Return the texts that are built in; all kinds if there are no texts."""
    return [str(text) for text in texts if parse_builtin(str(text))] or ["builtin"]


def _part_of(corpus: Corpus, built_in: set[str], part: Part) -> Corpus:
    domains = {
        name: text if name in built_in else split_text(text, name)[part]
        for name, text in corpus.domains.items()
    }
    return Corpus(domains, corpus.dialogues, corpus.documents)


def split_text(text: str, name: str) -> Mapping[Part, str]:
    """Return the parts of a text, cut behind the ends of lines nearest to their shares.

    >>> dict(split_text("1\\n2\\n3\\n4\\n5\\n6\\n7\\n8\\n9\\n0", "digits"))
    {'calibrate': '1\\n2\\n3\\n4\\n5\\n6\\n', 'select': '7\\n8\\n', 'evaluate': '9\\n0'}

    Raises MeasurementError if a part would be empty; `name` is for its message.
    """
    parts: dict[Part, str] = {}
    start = 0
    for part in PARTS:
        end = len(text)
        if part != PARTS[-1]:
            wanted = round(PART_ENDS[part] * len(text))
            end = text.find("\n", wanted) + 1 or len(text)
        parts[part] = text[start:end]
        start = end
    if not all(part.strip() for part in parts.values()):
        raise MeasurementError(
            f"{name}: the text is too short to be cut into three parts; give a longer one, with"
            " more lines"
        )
    return parts
