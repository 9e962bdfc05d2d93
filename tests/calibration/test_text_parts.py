"""A text is cut into parts that share no line."""

from pathlib import Path

import pytest

from zeropoint.calibration.corpus import PARTS, builtin_corpus
from zeropoint.calibration.text_parts import folder_parts, open_parts, split_text
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


def test_a_folder_is_split_by_files_without_what_nobody_wrote(tmp_path: Path) -> None:
    for number in range(60):
        (tmp_path / f"note{number:02}.md").write_text(f"note {number}\n" * 100)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\xff\0" * 1000)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "log.txt").write_text("hidden\n" * 100)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "code.js").write_text("generated\n" * 100)
    parts = folder_parts(tmp_path)
    found = {part: set(parts[part].split("\n")) - {""} for part in PARTS}
    assert set.union(*found.values()) == {f"note {number}" for number in range(60)}
    assert sum(map(len, found.values())) == 60
    assert [len(found[part]) for part in PARTS] == pytest.approx([36, 12, 12], abs=3)
    assert parts == folder_parts(tmp_path)


def test_a_folder_with_few_files_is_cut_like_a_text(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(f"line {number}\n" for number in range(5000)))
    assert folder_parts(tmp_path) == split_text((tmp_path / "book.txt").read_text(), "book")


def test_a_folder_with_too_little_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("short\n")
    with pytest.raises(MeasurementError, match="6 characters of text in 1 files"):
        folder_parts(tmp_path)
    with pytest.raises(MeasurementError, match="is not a folder"):
        folder_parts(tmp_path / "missing")
