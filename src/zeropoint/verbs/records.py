"""Records that long verbs share: stages of the work, the models that take part, warnings."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from zeropoint.results.model_identity import ModelIdentity
from zeropoint.verbs import notebook_figures as notebook_figures

R = TypeVar("R")
OnRecord = Callable[[Any], None]


@dataclass(frozen=True)
class StageStarted:
    """A stage of the work begins. The records that follow count in `done` how far it has come."""

    label: str  # what is being done, such as "generating"
    total: int  # units of work, the same as those of `done`
    unit: str = ""  # its name in the plural, such as "chunks"; empty for bytes and weights
    seconds: float | None = None  # that one unit is expected to take, if that is known


@dataclass(frozen=True)
class ModelStarted:
    """The work on one of several models begins."""

    model: ModelIdentity


@dataclass(frozen=True)
class Notice:
    """A warning about the input: something was left out, or is compared in another way."""

    message: str


def drain(records: Iterator[Any], kind: type[R], progress: OnRecord | None = None) -> R:
    """Run a verb to its end, and return its result, the last record of type `kind`.

    `progress` is called with every other record. Without it, warnings are logged.
    """
    result: R | None = None
    for record in records:
        if isinstance(record, kind):
            result = record
        elif progress is not None:
            progress(record)
        elif isinstance(record, Notice):
            logging.getLogger("zeropoint").warning(record.message)
    assert result is not None, "a verb ends with its result"
    return result
