"""Typed records and their JSON: one encoder and one decoder, built on the type hints of the fields.

A record is a frozen dataclass that derives from `Record`. Its JSON is an object with one key for
each field, in the order of the fields. These rules connect the two:

    float                a number; null is NaN, "not known"
    int                  an integer from 0 to 2⁵³
    bool, str            the same
    int | float          a number, kept as it is written
    X | None             null is None
    tuple[X, ...]        a list
    Mapping[str, X]      an object with any keys
    another record       an object
    Any                  any JSON, unchecked: data of other programs

A field without a default has to be in the JSON. Any other may be missing, since runs of older
versions lack the newer figures: it then has its default. Keys without a field are ignored. Whatever
has the wrong type, or is no result (`Record.problem`), raises CheckpointError, which names the file
and the key; nothing else in zeropoint decides that a result is damaged.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from functools import cache
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from zeropoint.errors import CheckpointError, printable
from zeropoint.results.html import as_html

SCHEMA = 1  # of run.json and of the results in it
UNKNOWN_NUMBER = math.nan  # the default of a number that an older run does not hold
MAX_EXACT_INTEGER = 1 << 53  # an integer that every float64 holds exactly
DAMAGED_RUN_NOTE = "the run is damaged or of another version"

R = TypeVar("R", bound="Record")

# Metadata of fields, as in `field(metadata=FLAT)`.
OMIT = {"omit": True}  # the JSON leaves the key out while the field is None or empty
HIDDEN = {"hidden": True}  # the JSON never has the key
FLAT = {"flat": True}  # a record whose keys stand among those of the record that holds it
NAMED_AS = {"key": "as"}  # the key is a word that Python reserves


@dataclass(frozen=True)
class Record:
    """Something that was measured, with typed fields."""

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON objects, lists, strings and numbers; NaN is null."""
        data: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.metadata.get("hidden"):
                continue
            if one.metadata.get("omit") and (value is None or value == {}):
                continue
            if not one.metadata.get("flat"):
                data[_key(one)] = _encoded(value)
            elif value is not None:
                data |= value.to_json()
        return data

    as_dict = to_json

    @classmethod
    def from_json(cls, data: object, path: Path | str, key: str = "") -> Self:
        """Read a record from JSON. `key` is its position in the file `path`, for errors.

        Raises CheckpointError for a key that is missing, or whose value has the wrong type.
        """
        return _Decoder(path).record(cls, data, key)

    def problem(self) -> str:
        """Return why a record with fields of the right types is invalid; "" if it is valid."""
        return ""

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of a table with everything in it; nested keys are joined by dots."""
        return [dict(_leaves(self.to_json()))]

    def _repr_html_(self) -> str:
        """Return the record as a notebook shows it: a line, a table of `rows`, and its figure."""
        return as_html(self, self.rows())

    def to_pandas(self) -> Any:
        """Return `rows` as a data frame. Raises ImportError if pandas is not installed."""
        return data_frame(self.rows())


def data_frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return rows as a data frame. Raises ImportError if pandas is not installed."""
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise ImportError(
            "to_pandas() needs pandas: pip install pandas; rows() returns the same without it"
        ) from None
    return pandas.DataFrame(rows)


def _key(one: Field[Any]) -> str:
    return str(one.metadata.get("key", one.name))


def _encoded(value: object) -> object:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, Mapping):
        return {str(key): _encoded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encoded(item) for item in value]
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    return value


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, item in value.items():
        if isinstance(item, Mapping):
            yield from _leaves(item, f"{prefix}{key}.")
        else:
            yield prefix + key, item


@cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls)


class _Decoder:
    """Reads the records of one file."""

    def __init__(self, path: Path | str) -> None:
        self._path = path

    def record(self, cls: type[R], data: object, place: str) -> R:
        if not isinstance(data, Mapping):
            raise self._wrong(place, "an object", data)
        hints, values = _hints(cast(Any, cls)), {}
        for one in fields(cls):
            kind, key = hints[one.name], _key(one)
            where = f"{place}.{key}" if place else key
            if one.metadata.get("flat"):
                if self._holds(kind, data):
                    values[one.name] = self.record(_plain(kind), data, place)
            elif key in data:
                values[one.name] = self.value(kind, data[key], where)
            elif one.default is MISSING and one.default_factory is MISSING:
                raise CheckpointError(self._path, f"{where} is missing; {DAMAGED_RUN_NOTE}")
        record = cls(**values)
        if problem := record.problem():
            raise CheckpointError(self._path, f"{place}: {problem}; {DAMAGED_RUN_NOTE}")
        return record

    def _holds(self, kind: Any, data: Mapping[str, object]) -> bool:
        """Whether a flat record exists: an optional one exists if one of its keys does."""
        return _plain(kind) is kind or any(_key(one) in data for one in fields(_plain(kind)))

    def value(self, kind: Any, data: object, place: str) -> Any:
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Any:
            return data
        if kind == int | float:
            return data if type(data) is int else self._simple(float, data, place)
        if origin in (Union, UnionType):
            return None if data is None else self.value(_plain(kind), data, place)
        if origin is tuple:
            if not isinstance(data, list):
                raise self._wrong(place, "a list", data)
            items = enumerate(data)
            return tuple(self.value(arguments[0], item, f"{place}[{at}]") for at, item in items)
        if origin is Mapping:
            if not isinstance(data, dict):
                raise self._wrong(place, "an object", data)
            pairs = data.items()
            return {
                key: self.value(arguments[1], item, f"{place}.{printable(key, 24)}")
                for key, item in pairs
            }
        if issubclass(kind, Record):
            return self.record(kind, data, place)
        return self._simple(kind, data, place)

    def _simple(self, kind: type, data: object, place: str) -> object:
        if kind is float:
            if data is None:
                return UNKNOWN_NUMBER
            if isinstance(data, float) or (type(data) is int and abs(data) <= 10**300):
                return float(data)
            raise self._wrong(place, "a number", data)
        if kind is int and (type(data) is not int or not 0 <= data <= MAX_EXACT_INTEGER):
            raise self._wrong(place, "an integer of at least 0", data)
        if type(data) is not kind:
            raise self._wrong(place, {bool: "true or false", str: "a text"}[kind], data)
        return data

    def _wrong(self, place: str, wanted: str, found: object) -> CheckpointError:
        shown = {list: "a list", dict: "an object", NoneType: "null", bool: str(found).lower()}
        shown_value = shown.get(type(found)) or printable(f"{found!r:.40}", 40)
        where = f"{place}: " if place else ""
        return CheckpointError(
            self._path, f"{where}expected {wanted}, found {shown_value}; {DAMAGED_RUN_NOTE}"
        )


def _plain(kind: Any) -> Any:
    """Return X for X | None."""
    if get_origin(kind) not in (Union, UnionType):
        return kind
    return next(one for one in get_args(kind) if one is not NoneType)
