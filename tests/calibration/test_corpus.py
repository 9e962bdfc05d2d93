"""The texts that models are calibrated and measured on."""

from pathlib import Path

import pytest

from zeropoint.calibration.corpus import (
    DEFAULT_KINDS,
    KINDS,
    builtin_corpus,
    open_corpus,
    read_corpus,
)
from zeropoint.errors import CheckpointError, MeasurementError


def test_text_files_and_built_in_text_can_be_named_together(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "a.md").write_text("two")
    assert list(open_corpus([tmp_path / "a.txt", tmp_path / "a.md"], "evaluate").domains) == [
        "a",
        "a.md",
    ]
    corpus = open_corpus(
        ["builtin:code,long", tmp_path / "a.txt", "builtin:code/select"], "evaluate"
    )
    assert list(corpus.domains) == ["code", "long", "code-select", "a"]
    assert corpus.domains["code-select"] == builtin_corpus("select", ["code"]).domains["code"]
    assert len(corpus.documents["long"]) == 4


def test_without_a_name_the_default_kinds_are_read() -> None:
    assert open_corpus([], "calibrate").hash == builtin_corpus("calibrate").hash
    assert list(open_corpus([], "calibrate").domains) == list(DEFAULT_KINDS)
    assert list(open_corpus(["builtin:all/select"], "select").domains) == list(KINDS)


@pytest.mark.parametrize("text", ["builtin:", "builtin:verse", "builtin:code/test", "builtin/"])
def test_a_built_in_text_that_does_not_exist_is_refused_with_all_that_do(text: str) -> None:
    with pytest.raises(MeasurementError, match=r"languages, long and all, the parts calibrate"):
        open_corpus([text], "evaluate")


def test_a_text_that_is_named_twice_is_refused() -> None:
    with pytest.raises(MeasurementError, match="two texts are named 'code'"):
        open_corpus(["builtin:code", "builtin:prose,code"], "evaluate")


def test_files_become_domains(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfone")
    (tmp_path / "b.md").write_text("two")
    corpus = read_corpus([tmp_path / "a.txt", tmp_path / "b.md"])
    assert dict(corpus.domains) == {"a": "one", "b": "two"}


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "No such file"), (b"\xff\xfe\x00", "byte 0: not UTF-8"), (b" \n", "no text")],
)
def test_a_file_without_text_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "text.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MeasurementError, match=message):
        read_corpus([path])


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        ('{"text": "one"}\n\n{"text": "two\u2028more", "id": 3}\n', "one\n\ntwo\u2028more"),
        ('{"text": "one"}\n{"content": "two"}\n', None),
        ('{"text": 1}\n', None),
        ("[" * 100_000 + "\n", None),
        ("no json\n", None),
    ],
)
def test_records_are_their_texts_and_anything_else_is_itself(
    tmp_path: Path, lines: str, text: str | None
) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(lines, "utf-8")
    assert read_corpus([path]).domains["rows"] == (lines if text is None else text)


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache that holds one file of the data set org/name, and no network."""
    base = tmp_path / "cache" / "datasets--org--name"
    snapshot = base / "snapshots" / ("0" * 40)
    (snapshot / "raw").mkdir(parents=True)
    (base / "refs").mkdir()
    (base / "refs" / "main").write_text("0" * 40)
    (snapshot / "raw" / "test.txt").write_text("words of the data set")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(
        "huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "cache"), raising=False
    )
    return tmp_path / "cache"


def test_a_data_set_in_the_hubs_cache_is_read_without_network(cached: Path) -> None:
    corpus = read_corpus([Path("hub:org/name:raw/test.txt")])
    assert dict(corpus.domains) == {"test": "words of the data set"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hub:org/name:raw/other.txt", "cannot be reached"),
        ("hub:org/other:raw/test.txt", "cannot be reached"),
        ("hub:org/name", "hub:org/name:FILE"),
        ("hub:nonsense", "hub:org/name:FILE"),
        ("hub:org/name:raw/test.parquet", "give a .txt or .jsonl file"),
    ],
)
def test_what_the_hub_cannot_give_is_one_sentence(cached: Path, text: str, said: str) -> None:
    with pytest.raises(CheckpointError, match=said) as caught:
        read_corpus([Path(text)])
    assert "\n" not in str(caught.value)
