"""What the pages Plan and Speed ask: the verb `plan` on models of the library, and on words.

Only words that are no path get as far as the planner: a size, a format's name, a device's slug, the
text of a config.json. Files come by id from the library, and nothing asks the network.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from zeropoint.errors import CheckpointError, RecipeError, ZeropointError
from zeropoint.plans.formats.names import no_target, target_format
from zeropoint.plans.machines import this_machine as here
from zeropoint.plans.machines.machines import HERE, Device
from zeropoint.plans.memory.cache_shape import Shape
from zeropoint.plans.memory.typical import is_size
from zeropoint.plans.planner.advice import fixes, roomier
from zeropoint.plans.planner.as_json import as_record, device_facts
from zeropoint.plans.planner.model_spec import (
    Subject,
    canonical,
    from_description,
    from_path,
    from_size,
    is_target,
    mostly,
    requantized,
)
from zeropoint.plans.planner.planning import Asking, ask, plan
from zeropoint.plans.planner.ranking import LADDER, OBJECTIVES
from zeropoint.plans.speed.calibration import Evidence
from zeropoint.plans.speed.multiply import multiplication
from zeropoint.plans.speed.roofline import BATCHES, marks, roof, timed
from zeropoint.studio.http.library import Entry, Library
from zeropoint.studio.http.requests import Words, flag_in, list_in, number_in, text_in, whole_in
from zeropoint.studio.report.bundle import PageData

KEPT = 8  # models whose headers are remembered
MODELS, FORMATS, DEVICES = 8, 12, 64  # at a time
CONFIG = 200_000  # characters
LONGEST = 2**24  # tokens
SOME = ("Q8_0", "Q4_K_M", "Q2_K")  # formats of a roofline, unless others are asked for


class Planner:
    """Answers the two pages, from one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self._subjects: OrderedDict[tuple[Path, float, int], Subject] = OrderedDict()
        self._evidence: tuple[object, Evidence] = (None, Evidence())
        self._lock = threading.Lock()

    def offered(self) -> PageData:
        """Return what the pages let people choose from."""
        offered = here.every_device()
        return {
            "models": [{"id": e.id, "name": e.name} for e in self.library.listing().of("model")],
            "devices": [*map(device_facts, offered)],
            "measured": offered[0].measured,
            "objectives": OBJECTIVES,
            "formats": LADDER,
            "batches": BATCHES,
        }

    def answer(self, words: Words) -> PageData:
        """Return a plan as `--json` prints it, and for each result what could be turned."""
        subjects, options = self._asked(words)
        found = plan(*subjects, device=self._devices(words), **options)
        record = as_record(found)
        record["turn"] = [
            list((roomier if result.fits else fixes)(result, found.question))
            for result in found.results
        ]
        return record

    def speeds(self, words: Words) -> PageData:
        """Return roofs, points of one model in several formats, and what was timed here."""
        subjects, options = self._asked(words)
        question, (subject, named) = ask(options), subjects[0]
        question.evidence.here = here.remembered()
        where = [device for device in self._devices(words) if device.bandwidth]
        formats: tuple[str | None, ...] = (named,) if named else question.formats
        if not formats:
            formats = (None,) if subject.quantized else (None, *SOME)
        points = [mark for to in formats for mark in marks(subject, to, where, question)]
        return {
            "model": subject.label,
            "basis": subject.basis,
            "roofs": [asdict(roof(device, question.evidence)) for device in where],
            "marks": [asdict(mark) for mark in points],
            "timed": [asdict(found) for found in timed(question.evidence.benches)],
            "multiply": arithmetic(subject, formats, where),
            "devices": [device_facts(device) for device in where],
        }

    def _asked(self, words: Words) -> tuple[list[tuple[Subject, str | None]], Asking]:
        """Check the words and return the models and options that they mean."""
        subjects: list[tuple[Subject, str | None]] = []
        formats = list_in(words, "to", FORMATS)
        for text in formats:
            if not is_target(text):
                raise RecipeError(no_target(text))
        for id in list_in(words, "models", MODELS):
            subjects.append((self._subject(id), None))
        subjects += [sized(text) for text in list_in(words, "sizes", MODELS)]
        if config := text_in(words, "config", most=CONFIG).strip():
            subjects.append((from_text(config), None))
        if not subjects:
            raise RecipeError("name a model: one of the library, a size such as 27B, or the text "
                              "of a config.json")  # fmt: skip
        options: Asking = {
            "ctx": whole_in(words, "ctx", 1, LONGEST), "users": whole_in(words, "users", 1, 4096),
            "kv": f"{text_in(words, 'keys', most=8)}/{text_in(words, 'values', most=8)}",
            "objective": text_in(words, "objective", most=16), "to": formats,
            "full_windows": flag_in(words, "full_windows"),
            "host": text_in(words, "host", most=64), "ssd": number_in(words, "ssd", 0.001, 999),
            "runs": self.evidence(),
        }  # fmt: skip
        if ram := text_in(words, "ram", most=32):
            options["ram"] = ram
        return subjects, options

    def _devices(self, words: Mapping[str, Any]) -> list[Device]:
        names = list_in(words, "devices", DEVICES) or [HERE]
        return [*map(here.named, names)]

    def _subject(self, id: str) -> Subject:
        try:
            entry = self.library.find(id, "model")
        except KeyError:
            raise CheckpointError(self.library.root, f"has no model {id!r}") from None
        return self.subject(entry)

    def subject(self, entry: Entry) -> Subject:
        """Return a model of the library; its header is read once as long as it stays the same."""
        key = (entry.path, entry.changed, entry.bytes)
        with self._lock:
            found = self._subjects.get(key)
            if found is None:
                found = replace(from_path(entry.path), asked=entry.name)
                self._subjects[key] = found
            self._subjects.move_to_end(key)
            while len(self._subjects) > KEPT:
                self._subjects.popitem(last=False)
        return found

    def shape_of(self, name: str, nbytes: int) -> Shape | None:
        """Return the shape of the library's file of this name and size, if there is one."""
        for entry in self.library.listing().of("model"):
            if (entry.path.name, entry.bytes) == (name, nbytes):
                try:
                    return self.subject(entry).shape
                except (ZeropointError, OSError):
                    return None
        return None

    def evidence(self) -> Evidence:
        """Return what the runs of the library say, read again only when one has changed."""
        runs = self.library.listing().of("run")
        key = [(run.path, run.changed, run.bytes) for run in runs]
        with self._lock:
            if self._evidence[0] != key:
                self._evidence = (key, Evidence([run.path for run in runs]))
            found = self._evidence[1]
        fresh = Evidence()
        fresh.finished = found.finished  # timings may have been noted since: those are read anew
        return fresh


def arithmetic(
    subject: Subject, formats: Sequence[str | None], where: Sequence[Device]
) -> PageData:
    """Return what happens in the arithmetic, by device and format of the model."""
    found: PageData = {}
    for to in formats:
        made = requantized(subject, canonical(to)) if to else subject.source
        usual = target_format(mostly(made.tensors.values()))
        for device in where:
            found[f"{device.id}/{to or subject.format}"] = asdict(multiplication(device, usual))
    return found


def sized(text: str) -> tuple[Subject, str | None]:
    """Return a typical model of a typed size, `27B` or `27B:Q4_K_M`, and the format.

    Raises RecipeError for anything else.
    """
    name, colon, to = text.strip().partition(":")
    if not is_size(name):
        raise RecipeError(
            f"{text!r} is no size; write 27B, 30B-A3B or 27B:Q4_K_M. A model on the hub is planned "
            "for in a terminal, as the studio asks nothing of the network: zeropoint plan org/name"
        )
    if colon and not is_target(to):
        raise RecipeError(no_target(to))
    return _typical(name), to or None


@lru_cache(KEPT)
def _typical(name: str) -> Subject:
    return replace(from_size(name), asked=name)


def from_text(text: str) -> Subject:
    """Return the model that a pasted config.json describes."""
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError("config.json", f"is no JSON: {error}") from None
    label = str(config.get("model_type") or "config") if isinstance(config, dict) else ""
    return from_description(config, Path("config.json"), label=label[:64])
