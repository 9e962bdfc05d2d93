"""Several processes write one output, are killed, and begin again; nobody ever sees half of one.

Four writers and one onlooker for each kind of output. A round is one attempt to write: it is done,
or refused because another process writes. After each one that is done, and all the time by the
onlooker, what has the name of the output is looked at: it must be exactly what one writer wrote.
"""

import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.forked_child import start_child
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint, write_file
from zeropoint.checkpoints.files.partial_folder import PartialFolder
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS
from zeropoint.results.run_store import RunFolder

WRITERS = 4
ROWS = 64
TENSORS = [NewTensor(f"t{n}", (ROWS, 64), FORMATS["F32"]) for n in range(3)]
FOLDER = {"config.json": 64, "model.safetensors": 40_000}  # bytes
CHUNKS = 6
REFUSALS = (
    "is being written by another process",
    "is in use by another process",
    "a set of files replaces none",
)


class Torn(AssertionError):
    """A file with the name of an output differs from the file that one writer wrote."""


def check(holds: bool, what: str) -> None:
    if not holds:
        raise Torn(what)


class File:
    """One GGUF that every writer replaces."""

    def __init__(self, root: Path) -> None:
        self.path = root / "m.gguf"

    def write(self, writer: int) -> None:
        with create_checkpoint(self.path, TENSORS, {}) as output:
            fill(output, writer)

    def look(self) -> bool:
        if not self.path.exists():
            return False
        with open_checkpoint(self.path) as found:
            check_whole(found)
        return True


class Set:
    """Sets of shards. A set replaces none, so writers go on to the next when one is complete."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = 0

    def key(self) -> Path:
        return self.root / f"m{self.number}-00001-of-00003.gguf"

    def write(self, writer: int) -> None:
        while self.key().exists():
            self.number += 1
        with create_checkpoint(
            self.root / f"m{self.number}.gguf", TENSORS, {}, max_shard_bytes=1
        ) as output:
            fill(output, writer)

    def look(self) -> bool:
        if not self.key().exists():
            return False
        with open_checkpoint(self.key()) as found:
            check_whole(found)
        self.number += 1
        return True


class Folder:
    """One folder of two files that every writer replaces."""

    def __init__(self, root: Path) -> None:
        self.path = root / "of"

    def write(self, writer: int) -> None:
        with PartialFolder(self.path, FOLDER, overwrite=True) as output:
            for name, size in FOLDER.items():
                write_file(output.part / name, bytes([writer]) * size)
            output.publish()

    def look(self) -> bool:
        try:
            folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except FileNotFoundError:
            return False
        try:  # a folder that is replaced meanwhile is removed, file by file
            files = {name: os.open(name, os.O_RDONLY, dir_fd=folder) for name in FOLDER}
        except FileNotFoundError:
            check(os.fstat(folder).st_ino != os.lstat(self.path).st_ino, "a file is missing")
            return False
        finally:
            os.close(folder)
        data = {name: os.pread(file, 1 << 20, 0) for name, file in files.items()}
        for file in files.values():
            os.close(file)
        check({name: len(found) for name, found in data.items()} == FOLDER, "a file is cut short")
        check(len(set(b"".join(data.values()))) == 1, "files of two writers")
        return True


class Run:
    """Run folders: each is resumed by whoever comes, until it is finished."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.number = max(len(list(root.glob("run*"))) - 1, 0)  # those before it are finished

    def path(self) -> Path:
        return self.root / f"run{self.number}"

    def write(self, writer: int) -> None:
        while self.look():
            self.number += 1
        run = RunFolder.start(self.path(), "measure", {"quant": self.number}, {})
        for index in range(run.chunks_done(), CHUNKS):
            run.save_chunk(index, {"kl": np.full(5, index)})
            run.save_table("answers", list(range(index + 1)))
        run.save_table("answers", list(range(CHUNKS)))
        run.finish({"chunks": CHUNKS})

    def look(self) -> bool:
        """Read what there is of the run; return whether it is finished."""
        if not (self.path() / "run.json").exists():
            return False
        run = RunFolder.open(self.path())
        results = run.results  # before what they are of: a writer may be at work
        check(run.identity["inputs"] == {"quant": self.number}, "another run")
        for index in range(run.chunks_done()):
            check(run.load_chunk(index)["kl"].tolist() == [index] * 5, f"chunk {index}")
        rows = run.load_rows("answers", int)
        check(rows == list(range(len(rows))), "rows")
        check(results in ({}, {"chunks": CHUNKS}), "results")
        check(not results or len(rows) == run.chunks_done() == CHUNKS, "results without chunks")
        return bool(results)


KINDS: dict[str, Callable[[Path], File | Set | Folder | Run]] = {
    "file": File,
    "set": Set,
    "folder": Folder,
    "run": Run,
}


def fill(output, writer: int) -> None:
    for tensor in TENSORS:
        for _ in range(4):
            output.write(tensor.name, np.full(ROWS * 64, writer, np.uint8))


def check_whole(found) -> None:
    values = {int(v) for t in TENSORS for v in np.unique(found.read(t.name).data)}
    check(len(values) == 1 and values <= set(range(1, WRITERS + 1)), f"values {values}")


class Counters:
    """Numbers that forked processes share: (done, refused, looks, torn, failed) of each."""

    NAMES = ("done", "refused", "looks", "torn", "failed")

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 8 * (WRITERS + 1) * len(self.NAMES))

    def add(self, process: int, name: str) -> None:
        place = 8 * (process * len(self.NAMES) + self.NAMES.index(name))
        (value,) = struct.unpack_from("q", self.memory, place)
        struct.pack_into("q", self.memory, place, value + 1)

    def total(self) -> dict[str, int]:
        found = np.frombuffer(self.memory, np.int64).reshape(-1, len(self.NAMES)).sum(0)
        return dict(zip(self.NAMES, map(int, found), strict=True))


def act(output: File | Set | Folder | Run, process: int, counters: Counters) -> None:
    """One round of a writer, or one look of the onlooker (process 0), counted."""
    try:
        if process:
            output.write(process)
            counters.add(process, "done")
        output.look()
        counters.add(process, "looks")
    except CheckpointError as error:
        if process and any(reason in str(error) for reason in REFUSALS):
            counters.add(process, "refused")
        else:
            counters.add(process, "torn")
            sys.stderr.write(f"process {process}: {error}\n")
    except Torn as error:
        counters.add(process, "torn")
        sys.stderr.write(f"process {process}: {error}\n")
    except BaseException:
        counters.add(process, "failed")  # and its traceback is printed
        raise


def stress(kind: str, root: Path, seconds: float, *, kills: float) -> dict[str, int]:
    """Let four writers and an onlooker run; kill a writer every `kills` seconds and start anew."""
    counters = Counters()

    def loop(process: int) -> Callable[[], None]:
        def run() -> None:
            output = KINDS[kind](root)
            while True:
                act(output, process, counters)

        return run

    children = [start_child(loop(process)) for process in range(WRITERS + 1)]
    end = time.monotonic() + seconds
    generator = random.Random(0)
    try:
        while time.monotonic() < end:
            time.sleep(kills * (0.5 + generator.random()))
            victim = generator.randrange(1, WRITERS + 1)
            os.kill(children[victim], signal.SIGKILL)
            os.waitpid(children[victim], 0)
            children[victim] = start_child(loop(victim))
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return counters.total()


@pytest.fixture(autouse=True)
def no_waiting_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are killed here, but no power is lost; so there are many more rounds."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.mark.parametrize("kind", KINDS)
def test_four_writers_of_one_output_never_show_half_of_it(
    tmp_path: Path, kind: str, record_property: Callable[[str, object], None]
) -> None:
    found = stress(kind, tmp_path, 25 / len(KINDS), kills=0.25)
    record_property(kind, found)
    assert found["torn"] == found["failed"] == 0, found
    assert found["done"] > 0 and found["looks"] > found["done"], found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_four_writers_of_one_output_for_a_thousand_rounds(tmp_path: Path, kind: str) -> None:
    total = dict.fromkeys(Counters.NAMES, 0)
    while total["done"] < 1000:
        found = stress(kind, tmp_path, 25, kills=0.25)
        total = {name: total[name] + found[name] for name in total}
        assert found["done"] > 0
    sys.stderr.write(f"\n{kind}: {total}\n")
    assert total["torn"] == total["failed"] == 0, total
