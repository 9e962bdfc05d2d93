"""Well-known models by name: the rows of `models.toml` in this folder, which need no network.

A row has the settings of the model's config.json on which its memory and speed depend, where they
come from, and the number of weights that was published, which tests compare.
"""

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

MAX_SUGGESTIONS = 4
#: Last words of a name that do not change the shape: "Qwen3-8B-Base", "gemma-3-27b-it-GGUF".
VARIANTS = re.compile(r"(instruct|it|base|chat|thinking|reasoning|pt|hf|gguf|bf16|2[4-9]\d\d)")


@dataclass(frozen=True)
class NamedModel:
    """A well-known model."""

    #: The names by which it is found; the first one is shown.
    names: tuple[str, ...]
    #: Its number of weights as it was published, such as "27B", and where.
    published: str
    count: str
    #: Weights among them that belong to parts for images and audio, which `plan` leaves out.
    beside: str
    #: Where the settings come from, with a date.
    source: str
    #: Settings of its config.json.
    config: Mapping[str, Any]


@lru_cache
def named_models() -> tuple[NamedModel, ...]:
    """Return all rows."""
    text = files(__package__).joinpath("models.toml").read_text("utf-8")
    return tuple(
        NamedModel(
            names=tuple(row["names"]),
            published=row["published"],
            count=row["count"],
            beside=row.get("beside", "0M"),
            source=row["source"],
            config=row["config"],
        )
        for row in tomllib.loads(text)["model"]
    )


def find_named(text: str) -> NamedModel | None:
    """Return the model of a name in any case, with or without words such as "-Instruct".

    >>> find_named("qwen 3.5 27b").names[0]
    'Qwen3.5-27B'
    """
    words = re.split(r"[-_\s]+", text.strip().lower())
    while words:
        found = _by_key().get("".join(words))
        if found or not VARIANTS.fullmatch(words[-1]):
            return found
        words.pop()
    return None


def similar_names(text: str) -> list[str]:
    """Return names of models that are close to a text, the closest first."""
    by_key = {_key(name): name for model in named_models() for name in model.names}
    key = _key(text)
    close = difflib.get_close_matches(key, by_key, MAX_SUGGESTIONS, cutoff=0.75)
    begin = [known for known in by_key if len(key) > 2 and known.startswith(key)]
    return [by_key[known] for known in dict.fromkeys([*begin, *close])][:MAX_SUGGESTIONS]


@lru_cache
def _by_key() -> dict[str, NamedModel]:
    return {_key(name): model for model in named_models() for name in model.names}


def _key(name: str) -> str:
    return re.sub(r"[-_\s]+", "", name.strip().lower())
