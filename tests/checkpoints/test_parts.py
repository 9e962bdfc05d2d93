"""A part belongs to its writer: no other one removes it, publishes it, or takes its name."""

import os
from pathlib import Path

import numpy as np
import pytest

from zeropoint.checkpoints import NewTensor, create_checkpoint
from zeropoint.checkpoints.files import atomic
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import PartialFile, part_of, write_file
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS

TENSORS = [NewTensor(f"t{n}", (3, 8), FORMATS["F32"]) for n in range(3)]
SETS = {"gguf": "m.gguf", "safetensors": "m.safetensors"}


def fill(writer):
    for tensor in TENSORS:
        writer.write(tensor.name, np.ones(96, np.uint8))


def write_set(folder, name):
    with create_checkpoint(folder / name, TENSORS, {}, max_shard_bytes=1) as writer:
        fill(writer)
    return writer


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def complete(target: Path, data: bytes) -> PartialFile:
    part = PartialFile(target)
    part.write(data, 0)
    part.finish()
    return part


def test_a_part_that_was_published_removes_nothing_afterwards(tmp_path):
    target = tmp_path / "out.gguf"
    first = complete(target, b"A" * 10)
    first.publish()
    second = complete(target, b"B" * 10)
    first.discard()
    with pytest.raises(CheckpointError, match="is being written by another process"):
        PartialFile(target)
    second.publish()
    assert content(tmp_path) == {"out.gguf": b"B" * 10}


@pytest.mark.parametrize("end", ["publish", "rename"])
def test_a_part_is_locked_until_its_directory_is_synced(tmp_path, monkeypatch, end):
    target = tmp_path / "out.gguf"
    part = complete(target, b"A")
    descriptors = []

    def sync(directory):
        descriptors.append(os.open(target, os.O_RDONLY))
        assert not io.lock(descriptors[-1])

    monkeypatch.setattr(io, "fsync_dir", sync)
    getattr(part, end)()
    if end == "rename":
        sync(tmp_path)
        part.close()
    assert io.lock(descriptors[-1])


@pytest.mark.parametrize("foreign", [b"another one's", None])
def test_a_part_whose_name_was_taken_is_neither_published_nor_removed(tmp_path, foreign):
    target = tmp_path / "out.gguf"
    part = complete(target, b"ours")
    part_of(target).unlink()
    if foreign:
        part_of(target).write_bytes(foreign)
    with pytest.raises(CheckpointError, match="was removed while it was being written"):
        part.publish()
    part.discard()
    assert content(tmp_path) == ({part_of(target).name: foreign} if foreign else {})


def test_a_small_file_is_refused_while_another_process_writes_it(tmp_path):
    with PartialFile(tmp_path / "page.html"):
        with pytest.raises(CheckpointError, match="is being written by another process"):
            write_file(tmp_path / "page.html", b"x")
    assert not content(tmp_path)


@pytest.mark.parametrize("name", SETS.values())
def test_a_set_that_was_completed_since_the_first_look_is_not_replaced(tmp_path, monkeypatch, name):
    """The second writer looks for leftovers and stands still; then the first one does its work."""
    from zeropoint.checkpoints import writer as module

    found: dict[str, bytes] = {}

    def meanwhile(target):
        monkeypatch.setattr(module, "remove_leftovers", lambda target: None)
        write_set(tmp_path, name)
        found.update(content(tmp_path))

    monkeypatch.setattr(module, "remove_leftovers", meanwhile)
    with pytest.raises(CheckpointError, match="a set of files replaces none"):
        with create_checkpoint(tmp_path / name, TENSORS, {}, max_shard_bytes=1):
            pytest.fail("it was not refused before its work")
    assert found and content(tmp_path) == found


@pytest.mark.parametrize("name", SETS.values())
def test_a_file_that_appears_where_a_shard_belongs_is_kept(tmp_path, name):
    """It is not replaced, and the set takes back what it had published."""
    with pytest.raises(CheckpointError, match="a set of files replaces none"):
        with create_checkpoint(tmp_path / name, TENSORS, {}, max_shard_bytes=1) as writer:
            fill(writer)
            taken = writer.files[2]
            taken.write_bytes(b"years of work")
    assert content(tmp_path) == {taken.name: b"years of work"}


@pytest.mark.parametrize("name", SETS.values())
def test_each_part_of_a_set_is_locked_until_the_set_is_complete(tmp_path, name):
    with create_checkpoint(tmp_path / name, TENSORS, {}, max_shard_bytes=1) as writer:
        fill(writer)
        for path in writer.files:
            with pytest.raises(CheckpointError, match="is being written by another process"):
                PartialFile(path)
    assert set(content(tmp_path)) == {path.name for path in writer.files}


def test_the_part_of_a_living_writer_is_no_leftover_of_a_dead_set(tmp_path):
    """A set died; somebody now writes a single file that has the name of one of its shards."""
    part_of(tmp_path / "m-00001-of-00003.gguf").write_bytes(b"cut short")
    living = complete(tmp_path / "m-00002-of-00003.gguf", b"ours")
    with pytest.raises(CheckpointError, match="is being written by another process"):
        write_set(tmp_path, "m.gguf")
    living.publish()
    assert (tmp_path / "m-00002-of-00003.gguf").read_bytes() == b"ours"


def test_a_set_of_more_files_than_may_be_open_is_refused_at_once(tmp_path, monkeypatch):
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (66, 66))
    with pytest.raises(CheckpointError, match=r"3 files.* 66 files open; make the shards larger"):
        create_checkpoint(tmp_path / "m.gguf", TENSORS, {}, max_shard_bytes=1)
    assert not content(tmp_path)


def test_a_long_file_is_sent_to_the_device_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[int, int]] = []
    begin = io.start_writeback

    def recorded(descriptor: int, offset: int, count: int) -> None:
        sent.append((offset, count))
        begin(descriptor, offset, count)

    monkeypatch.setattr(io, "start_writeback", recorded)
    monkeypatch.setattr(atomic, "WRITEBACK_BYTES", 1000)
    pieces = [bytes([n]) * 400 for n in range(8)]
    with PartialFile(tmp_path / "long.bin") as part:
        for n, piece in enumerate(pieces):
            part.write(piece, 400 * n)
        part.write(b"head", 0)
        part.finish()
        part.publish()
    assert sent == [(0, 1200), (1200, 1200)]
    assert (tmp_path / "long.bin").read_bytes() == b"head" + b"".join(pieces)[4:]
