"""The texts that models are calibrated and measured on."""

from pathlib import Path

import pytest

from zeropoint.calibration.corpus import builtin_corpus, read_corpus
from zeropoint.errors import CheckpointError, MeasurementError


def test_the_builtin_mix_has_four_domains_of_some_length() -> None:
    for part in ("calibrate", "evaluate"):
        domains = builtin_corpus(part).domains
        assert list(domains) == ["prose", "code", "chat", "json"]
        assert all(len(text) > 50_000 for text in domains.values())


def test_what_calibrates_never_evaluates() -> None:
    """Hardly a line of 60 characters or more stands in both: licences, inherited texts."""
    calibrate, evaluate = builtin_corpus("calibrate").domains, builtin_corpus("evaluate").domains
    for name in calibrate:
        lines = [
            {line for line in part[name].splitlines() if len(line) >= 60}
            for part in (calibrate, evaluate)
        ]
        assert len(lines[0] & lines[1]) < 0.05 * min(map(len, lines)), name


def test_the_mix_is_the_same_each_time() -> None:
    assert builtin_corpus("evaluate").hash == builtin_corpus("evaluate").hash
    assert builtin_corpus("evaluate").hash != builtin_corpus("calibrate").hash


def test_it_holds_no_address_of_this_process() -> None:
    """A default such as <object at 0x7f…> would change the hash from run to run."""
    for text in builtin_corpus("calibrate").domains.values():
        assert " at 0x7" not in text


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
