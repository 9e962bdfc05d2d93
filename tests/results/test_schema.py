"""Records and their JSON: what is written is read back, and whatever is damaged is named."""

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from zeropoint.errors import CheckpointError
from zeropoint.results.divergence import KL, Divergence, MeasureResult, Verdict
from zeropoint.results.interval import Interval
from zeropoint.results.schema import FLAT, NAMED_AS, OMIT, UNKNOWN_NUMBER, Record


@dataclass(frozen=True)
class Part(Record):
    one: float
    two: float | None = None


@dataclass(frozen=True, kw_only=True)
class Whole(Record):
    name: str
    count: int = 0
    kept: bool = False
    raw: int | float = 0
    part: Part = field(default_factory=lambda: Part(UNKNOWN_NUMBER))
    inner: Part | None = field(default=None, metadata=FLAT)
    by_name: Mapping[str, Part] = field(default_factory=dict, metadata=OMIT)
    lists: tuple[tuple[int, ...], ...] = ()
    target: str = field(default="", metadata=NAMED_AS)
    other: Any = None


FULL = {
    "name": "a", "count": 3, "kept": True, "raw": 2, "part": {"one": 1.5, "two": None},
    "one": 0.5, "two": 2.5, "by_name": {"x": {"one": None, "two": 1.0}}, "lists": [[1, 2], []],
    "as": "Q4_0", "other": [{"any": 1}],
}  # fmt: skip


def test_what_is_read_is_written_again_in_the_same_order() -> None:
    found = Whole.from_json(FULL, "run.json")
    assert found.to_json() == FULL and list(found.to_json()) == list(FULL)
    assert found.inner == Part(0.5, 2.5) and found.lists == ((1, 2), ())
    assert math.isnan(found.by_name["x"].one)
    assert json.loads(json.dumps(found.to_json())) == FULL


def test_missing_keys_have_their_defaults_and_unknown_keys_are_ignored() -> None:
    found = Whole.from_json({"name": "a", "later": 1}, "run.json")
    assert found.count == 0 and math.isnan(found.part.one) and found.inner is None
    written = found.to_json()
    assert "by_name" not in written and "one" not in written  # left out while they are empty
    assert written["part"]["one"] is None


WRONG = [
    ({"name": 3}, "name: expected a text, found 3"),
    ({}, "name is missing"),
    ({"name": "a", "count": True}, "count: expected an integer of at least 0, found true"),
    ({"name": "a", "count": 1.0}, "count: expected an integer of at least 0, found 1.0"),
    ({"name": "a", "count": -1}, "count: expected an integer of at least 0, found -1"),
    ({"name": "a", "count": 1 << 60}, "count: expected an integer"),
    ({"name": "a", "kept": 1}, "kept: expected true or false, found 1"),
    ({"name": "a", "part": []}, "part: expected an object, found a list"),
    ({"name": "a", "part": {"one": "x"}}, "part.one: expected a number, found 'x'"),
    ({"name": "a", "part": {"one": 10**400}}, "part.one: expected a number, found 1000"),
    ({"name": "a", "one": True}, "one: expected a number, found true"),
    ({"name": "a", "lists": {}}, "lists: expected a list, found an object"),
    ({"name": "a", "lists": [[1], [None]]}, r"lists\[1\]\[0\]: expected an integer .*, found null"),
    ({"name": "a", "by_name": {"y": {}}}, "by_name.y.one is missing"),
    ([], "expected an object, found a list"),
]


@pytest.mark.parametrize(("data", "said"), WRONG)
def test_a_wrong_type_is_named_with_file_and_key(data: object, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        Whole.from_json(data, Path("runs/run.json"))
    told = str(caught.value)
    assert told.startswith("runs/run.json: ") and told.endswith(
        "the run is damaged or of another version"
    )
    assert "\n" not in told and len(told) < 300


def test_an_interval_says_itself_in_one_line() -> None:
    assert repr(Interval(0.5, 0.25, 0.75)) == "0.5 (0.25 … 0.75)"
    assert Interval(0.5).ends is None and not Interval(0.5).known
    assert Interval.from_json({"mean": None}, "x").empty


def test_a_measurement_is_read_by_attribute_and_shows_itself() -> None:
    kl = KL(0.02, 0.01, 0.03, median=0.005, p99=0.2)
    found = MeasureResult(
        tokens=900, kl=kl, top1=0.9, verdict=Verdict("SMALL, MEASURABLE", "…"),
        by_domain={"prose": Divergence(tokens=900, kl=kl)},
    )  # fmt: skip
    assert (found.kl.mean, found.kl.low, found.verdict.word) == (0.02, 0.01, "SMALL, MEASURABLE")
    assert "\n" not in repr(found) and "0.02 (0.01 … 0.03)" in repr(found)
    rows = found.rows()
    assert [row["name"] for row in rows] == ["everything", "prose"]
    assert rows[1]["kl.p99"] == 0.2 and found.as_dict() == found.to_json()


def test_rows_become_a_data_frame_if_pandas_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    class Pandas:
        DataFrame = staticmethod(lambda rows: ("frame", rows))

    monkeypatch.setitem(sys.modules, "pandas", Pandas)
    assert Interval(0.5).to_pandas() == ("frame", [{"mean": 0.5, "low": None, "high": None}])
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError):
        Interval(0.5).to_pandas()
