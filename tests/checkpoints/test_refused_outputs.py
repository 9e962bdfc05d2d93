"""Names, inputs, parts and changed files: what a writer and a reader refuse to touch."""

import os
from pathlib import Path

import numpy as np
import pytest

from support.written_checkpoints import OLD, TENSORS, content, expected, write
from zeropoint.checkpoints import create_checkpoint, open_checkpoint
from zeropoint.errors import CheckpointError, NotEnoughSpace


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    statvfs = os.statvfs(tmp_path)
    needed = create_checkpoint(tmp_path / "m.gguf", TENSORS, {}).file_bytes

    def with_free(free):
        fields = list(statvfs)
        fields[1], fields[4] = 1, free  # f_frsize, f_bavail
        monkeypatch.setattr(os, "statvfs", lambda path: os.statvfs_result(fields))

    with_free(needed + 2)  # 2 % more than the file must be free
    with pytest.raises(NotEnoughSpace, match=rf"{int(needed * 1.02)} .* {needed + 2} are free"):
        create_checkpoint(tmp_path / "m.gguf", TENSORS, {})
    assert not content(tmp_path)
    with_free(int(needed * 1.02) + 1)
    create_checkpoint(tmp_path / "m.gguf", TENSORS, {})


def test_an_output_that_is_not_complete_does_not_appear(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="t1 and what follows it was not written"),
        create_checkpoint(tmp_path / "m.gguf", TENSORS, {}) as writer,
    ):
        writer.write("t0", np.zeros(96, np.uint8))
    assert not content(tmp_path)


def test_a_writer_takes_only_what_is_due(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="not written"),
        create_checkpoint(tmp_path / "m.gguf", TENSORS, {}) as writer,
    ):
        for name, data in (
            ("t1", np.zeros(96, np.uint8)),
            ("t0", np.zeros(97, np.uint8)),
            ("t0", np.zeros(24, np.float32)),
        ):
            with pytest.raises(ValueError, match=name):
                writer.write(name, data)


def spellings(path: Path) -> list[Path | str]:
    os.link(path, path.with_name("hard.gguf"))
    path.with_name("soft.gguf").symlink_to(path)
    (path.parent / "sub").mkdir()
    return [
        path,
        path.parent / "." / path.name,
        path.parent / "sub" / ".." / path.name,
        path.with_name("hard.gguf"),
        path.with_name("soft.gguf"),
        os.path.relpath(path),
    ]


def test_an_output_that_is_the_input_is_refused_however_it_is_spelled(tmp_path: Path) -> None:
    write(tmp_path, "gguf")
    path = tmp_path / "m.gguf"
    before = path.read_bytes()
    source = open_checkpoint(path)
    for spelling in spellings(path):
        with pytest.raises(CheckpointError, match="is the input itself"):
            create_checkpoint(spelling, TENSORS, {}, sources=source.files)
    assert path.read_bytes() == before


def test_an_output_that_is_a_shard_of_the_input_is_refused(tmp_path: Path) -> None:
    writer = write(tmp_path, "gguf shards")
    source = open_checkpoint(writer.files[2])
    with pytest.raises(CheckpointError, match="is the input itself"):
        create_checkpoint(writer.files[1], TENSORS, {}, sources=source.files)


def test_a_set_replaces_no_file(tmp_path: Path) -> None:
    (tmp_path / "m-00002-of-00003.gguf").write_bytes(OLD)
    with pytest.raises(CheckpointError, match="a set of files replaces none"):
        write(tmp_path, "gguf shards")
    assert content(tmp_path) == {"m-00002-of-00003.gguf": OLD}


def test_leftovers_of_a_set_with_another_number_of_shards_are_removed(tmp_path: Path) -> None:
    parts = [tmp_path / f".m-0000{n}-of-00004.gguf.part" for n in (1, 3, 4)]
    for path in (*parts, tmp_path / "m-00002-of-00004.gguf"):
        path.write_bytes(b"cut short")
    (tmp_path / "m-00002-of-00007.gguf").write_bytes(OLD)  # not of that set
    write(tmp_path, "gguf")
    assert set(content(tmp_path)) == {"m.gguf", "m-00002-of-00007.gguf"}


def test_a_second_writer_of_one_name_is_told_so(tmp_path: Path) -> None:
    new = expected(tmp_path, "gguf", value=1)
    folder = tmp_path / "out"
    folder.mkdir()
    with create_checkpoint(folder / "m.gguf", TENSORS, {"general.name": "x"}) as first:
        with pytest.raises(CheckpointError, match="is being written by another process"):
            write(folder, "gguf", value=2)
        for tensor in TENSORS:
            for row in range(3):
                first.write(tensor.name, np.full(32, 1 + row, np.uint8))
    assert content(folder) == new
    write(folder, "gguf", value=2)
    assert content(folder) != new


def test_what_is_in_the_way_of_the_part_is_not_touched(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(OLD)
    part = tmp_path / ".m.gguf.part"
    part.symlink_to(secret)
    with pytest.raises(CheckpointError, match="is in the way"):
        write(tmp_path, "gguf")
    assert secret.read_bytes() == OLD
    part.unlink()
    part.mkdir()
    with pytest.raises(CheckpointError, match="is in the way"):
        write(tmp_path, "gguf")


@pytest.mark.parametrize("special", ["directory", "fifo", "/dev/full", "/dev/null"])
def test_an_output_that_is_no_file_is_refused(tmp_path: Path, special: str) -> None:
    path = tmp_path / "m.gguf"
    if special == "directory":
        path.mkdir()
    elif special == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(special)
    with pytest.raises(CheckpointError, match="not a regular file"):
        write(tmp_path, "gguf")


def test_a_directory_that_is_not_there_or_takes_nothing_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="its directory does not exist"):
        write(tmp_path / "none", "gguf")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("modes do not bind this user")
    with pytest.raises(CheckpointError, match="cannot be written: permission denied"):
        write(closed, "gguf")


def test_a_name_that_is_too_long_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="file name too long"):
        with create_checkpoint(tmp_path / ("x" * 250 + ".gguf"), [], {}):
            pass


def test_a_source_that_changes_under_the_reader_is_an_error_and_no_signal(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    for change in (
        lambda: os.truncate(path, path.stat().st_size - 40),
        lambda: os.truncate(path, 10),
        lambda: path.write_bytes(path.read_bytes()),
        lambda: os.utime(path, ns=(1, 1)),
    ):
        write(tmp_path, "gguf")
        with open_checkpoint(path) as read:
            assert read.read("t0").data.size
            change()
            with pytest.raises(CheckpointError, match="changed while it was being read"):
                read.read("t2")
            with pytest.raises(CheckpointError, match="changed while it was being read"):
                read.map("t0")
            with pytest.raises(CheckpointError, match="changed while it was being read"):
                read.check_unchanged()


def test_a_source_that_is_replaced_is_read_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, "gguf", value=1)
    with open_checkpoint(tmp_path / "m.gguf") as read:
        write(tmp_path, "gguf", value=9)
        assert read.read_rows("t0", 0, 1).data.max() == 1
