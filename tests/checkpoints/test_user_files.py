"""Files and pipes that a user names: read whole, or refused with one sentence in seconds."""

import os
import threading
import time
from pathlib import Path

import pytest

from zeropoint.checkpoints.files import user_files
from zeropoint.checkpoints.files.user_files import read_user_bytes, read_user_text
from zeropoint.errors import CheckpointError, MeasurementError

LIMIT = 1 << 20


def write_later(path: Path, pieces: list[bytes], pause: float, stay: float = 0) -> threading.Thread:
    """Write into a pipe, with a pause before each piece."""

    def write() -> None:
        time.sleep(pause)
        with path.open("wb", buffering=0) as pipe:
            for piece in pieces:
                time.sleep(pause)
                try:
                    pipe.write(piece)
                except BrokenPipeError:  # the reader had enough
                    return
            time.sleep(stay)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


def test_a_pipe_is_read_until_its_writer_closes_it(pipe: Path) -> None:
    pieces = [b"one ", "zwölf ".encode(), b"x" * 300_000]
    writer = write_later(pipe, pieces, 0.05)
    assert read_user_text(pipe, LIMIT) == b"".join(pieces).decode()
    writer.join()


def test_a_pipe_without_a_writer_is_refused_soon(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_files, "FIRST_WRITER_SECONDS", 0.1)
    began = time.monotonic()
    with pytest.raises(CheckpointError, match="nothing writes to this pipe"):
        read_user_bytes(pipe, LIMIT)
    assert time.monotonic() - began < 2


def test_a_writer_that_writes_nothing_is_not_waited_for_for_ever(
    pipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(user_files, "WRITER_SECONDS", 0.2)
    writer = write_later(pipe, [b"begin"], 0.05, stay=1)
    with pytest.raises(CheckpointError, match="wrote nothing for"):
        read_user_bytes(pipe, LIMIT)
    writer.join()


def test_a_pipe_that_never_ends_is_refused_at_the_limit(pipe: Path) -> None:
    writer = write_later(pipe, [b"y" * LIMIT, b"y" * LIMIT], 0.01)
    with pytest.raises(CheckpointError, match=f"larger than the limit of {LIMIT} bytes"):
        read_user_bytes(pipe, LIMIT)
    writer.join()


def test_a_text_of_exactly_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"a" * 1000)
    assert len(read_user_text(path, 1000)) == 1000
    with pytest.raises(MeasurementError, match=r"text: is larger than the limit of 999 bytes"):
        read_user_text(path, 999, MeasurementError)


def test_a_byte_order_mark_is_dropped_and_line_ends_stay(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes(b"\xef\xbb\xbfa\r\nb\n")
    assert read_user_text(path, LIMIT) == "a\r\nb\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"abc\xff", "byte 3: not UTF-8"),
        (b"\xef\xbb\xbfab\xc3", "byte 5: not UTF-8"),
        (b"\xff\xfea\0", "byte 0: not UTF-8 text but UTF-16"),
        (b"\xfe\xff\0a", "UTF-16"),
    ],
)
def test_text_that_is_not_utf8_names_the_file_and_the_byte(
    data: bytes, says: str, tmp_path: Path
) -> None:
    (tmp_path / "text").write_bytes(data)
    with pytest.raises(CheckpointError, match=says) as caught:
        read_user_text(tmp_path / "text", LIMIT)
    assert str(tmp_path / "text") in str(caught.value)


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/full", "/dev/null", "/", "a\0b", ""])
def test_what_is_neither_a_file_nor_a_pipe_is_refused(path: str) -> None:
    with pytest.raises(CheckpointError):
        read_user_bytes(path, LIMIT)
