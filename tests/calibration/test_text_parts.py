"""A text is cut into parts that share no line."""

from pathlib import Path

import pytest

from zeropoint.calibration.corpus import PARTS, builtin_corpus
from zeropoint.calibration.text_parts import open_parts, split_text
from zeropoint.errors import MeasurementError


def test_the_parts_of_a_text_are_all_of_it_in_order() -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    parts = split_text(text, "text")
    assert "".join(parts[part] for part in PARTS) == text
    shares = [len(parts[part]) / len(text) for part in PARTS]
    assert [round(share, 2) for share in shares] == [0.6, 0.2, 0.2]
    assert all(part.endswith("\n") for part in parts.values())


def test_a_text_that_is_too_short_is_refused() -> None:
    with pytest.raises(MeasurementError, match="note: the text is too short"):
        split_text("one line", "note")


def test_built_in_text_keeps_its_own_parts_beside_a_file(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("".join(f"note {number}\n" for number in range(100)))
    parts = open_parts(["builtin:code", file])
    for part in PARTS:
        assert parts[part].domains["code"] == builtin_corpus(part, ["code"]).domains["code"]
    assert "note 5\n" in parts["calibrate"].domains["notes"]
    assert "note 95\n" in parts["evaluate"].domains["notes"]


def test_one_part_of_built_in_text_cannot_be_all_three() -> None:
    with pytest.raises(MeasurementError, match="leave out /select"):
        open_parts(["builtin:code/select"])


def test_without_a_text_the_built_in_text_is_read() -> None:
    assert open_parts([])["select"] == builtin_corpus("select")
