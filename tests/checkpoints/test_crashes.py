"""Whatever ends a write, the old file or the new one is there, whole: each call fails in turn."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from support.written_checkpoints import (
    LAYOUTS,
    OLD,
    TENSORS,
    check_old_or_new,
    content,
    expected,
    in_child,
    write,
)
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.errors import CheckpointError, NotEnoughSpace
from zeropoint.formats import FORMATS


@pytest.mark.parametrize("old", [OLD, None], ids=["over an old file", "where nothing was"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_kill_before_any_call_leaves_old_or_new_and_the_next_run_cleans_up(
    tmp_path: Path, layout: str, old: bytes | None
) -> None:
    new = expected(tmp_path, layout)
    if len(new) > 1 and old:
        pytest.skip("a set replaces nothing")
    outcomes = []
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        if old:
            (folder / LAYOUTS[layout][0]).write_bytes(old)

        def action(folder=folder, number=number):
            io._fault = io.InjectedFault(f"kill@{number}")
            write(folder, layout)

        status = os.waitpid(in_child(action), 0)[1]
        outcomes.append(check_old_or_new(folder, new, old))
        write(folder, layout) if not outcomes[-1] or len(new) == 1 else None
        assert content(folder) == new
        if status == 0:
            break
        assert os.WTERMSIG(status) == signal.SIGKILL
    assert number > 10 and outcomes == sorted(outcomes)  # old, old, …, new


@pytest.mark.parametrize("kind", ["enospc", "eio"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_failing_call_is_one_sentence_and_leaves_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, kind: str
) -> None:
    new = expected(tmp_path, layout)
    single = len(new) == 1
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        if single:
            (folder / LAYOUTS[layout][0]).write_bytes(OLD)
        fault = io.InjectedFault(f"{kind}@{number}")
        monkeypatch.setattr(io, "_fault", fault)
        try:
            write(folder, layout)
        except (CheckpointError, NotEnoughSpace) as error:
            assert isinstance(error, NotEnoughSpace) == (kind == "enospc")
            assert str(error).startswith(str(folder)) and "\n" not in str(error)
        else:  # a full disk hinders no removal, and nothing failed after the last call
            assert fault.calls < number or content(folder) == new
        monkeypatch.setattr(io, "_fault", None)
        found = content(folder)
        assert not [name for name in found if name.endswith(".part")]
        if single:
            assert found[LAYOUTS[layout][0]] in (OLD, *new.values())
        else:
            assert found in ({}, new)
        if fault.calls < number:
            break
    assert number > 10


@pytest.mark.parametrize("layout", LAYOUTS)
def test_short_writes_and_reads_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    new = expected(tmp_path, layout)
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = io.InjectedFault(f"short@{number}")
        monkeypatch.setattr(io, "_fault", fault)
        writer = write(folder, layout)
        monkeypatch.setattr(io, "_fault", None)
        assert content(folder) == new
        if fault.calls < number:
            break
    for number in count(1):
        fault = io.InjectedFault(f"short@{number}")
        monkeypatch.setattr(io, "_fault", fault)
        with open_checkpoint(writer.files[writer.plan.key]) as read:
            for tensor in TENSORS:
                assert read.read_rows(tensor.name, 1, 3).data.max() == 3
        if fault.calls < number:
            break


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_device_that_fails_while_reading_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    writer = write(tmp_path, layout)
    for number in count(1):
        fault = io.InjectedFault(f"eio@{number}")
        monkeypatch.setattr(io, "_fault", fault)
        try:
            with open_checkpoint(writer.files[writer.plan.key]) as read:
                for tensor in TENSORS:
                    read.read(tensor.name)
        except CheckpointError as error:
            assert "input/output error" in str(error)
        else:
            assert fault.calls < number
            break


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_name_is_given_before_the_data_is_on_the_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    log = []
    real = {n: getattr(io, n) for n in ("open_new", "pwrite", "fsync", "rename", "fsync_dir")}
    for name in real:

        def call(*arguments, name=name):
            result = real[name](*arguments)
            subject = str(arguments[0])
            if isinstance(arguments[0], int):
                subject = os.readlink(f"/proc/self/fd/{arguments[0]}")
            log.append((name, result if name == "open_new" else subject, str(arguments[-1])))
            return result

        monkeypatch.setattr(io, name, call)
    writer = write(tmp_path, layout)
    renames = [index for index, entry in enumerate(log) if entry[0] == "rename"]
    assert len(renames) == len(writer.files)
    for index in renames:
        part = log[index][1]
        touched = [entry[0] for entry in log[:index] if entry[1] == part]
        assert touched[-1] == "fsync" and touched.count("fsync") == 1
    assert log[renames[-1]][2] == str(writer.files[writer.plan.key])  # the key file comes last
    assert log[-1][0] == "fsync_dir"
    if len(renames) > 1:
        assert log[renames[-1] - 1][0] == "fsync_dir"


def kill_at_random(tmp_path: Path, times: int, seed: int) -> int:
    """Kill a writer of many small slabs; 60 ms in all, most of them between two calls."""
    generator = random.Random(seed)
    tensors = [NewTensor(f"t{n}", (20, 64), FORMATS["F32"]) for n in range(3)]
    new = expected(tmp_path, "gguf", tensors=tensors)
    folder = tmp_path / "out"
    folder.mkdir()
    ended = 0
    for _ in range(times):
        (folder / "m.gguf").write_bytes(OLD)
        child = in_child(lambda: write(folder, "gguf", tensors=tensors, pause=0.0005))
        time.sleep(generator.random() * 0.08)
        os.kill(child, signal.SIGKILL)
        ended += os.waitpid(child, 0)[1] == 0
        check_old_or_new(folder, new, OLD)
    write(folder, "gguf", tensors=tensors)
    assert content(folder) == new
    return ended


@pytest.mark.slow  # when a kill lands depends on the machine; the test of every call is exhaustive
def test_many_kills_at_random_moments_leave_old_or_new(tmp_path: Path) -> None:
    assert 0 < kill_at_random(tmp_path, 400, seed=1) < 400


def test_the_environment_names_the_call_that_fails(tmp_path: Path) -> None:
    program = (
        "import sys, numpy, zeropoint.checkpoints as c\n"
        "with c.create_checkpoint(sys.argv[1], [], {}) as writer: pass\n"
    )
    target = tmp_path / "m.gguf"
    target.write_bytes(OLD)
    for fault, code in (("kill@3", -signal.SIGKILL), ("eio@3", 1), ("short@2", 0)):
        run = subprocess.run(
            [sys.executable, "-c", program, target],
            env=os.environ | {"ZEROPOINT_FAULT": fault, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
        )
        assert run.returncode == code, run.stderr
        assert (target.read_bytes() == OLD) == (code != 0)


def test_a_limit_on_file_sizes_is_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(OLD)

    def action():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        write(folder, "gguf")

    status = os.waitpid(in_child(action), 0)[1]
    assert os.WEXITSTATUS(status) == 4
    assert content(folder) == {"m.gguf": OLD}


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, RuntimeError])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_exception_leaves_nothing_behind(
    tmp_path: Path, layout: str, error: type[BaseException]
) -> None:
    name, shard_bytes = LAYOUTS[layout]
    with (
        pytest.raises(error),
        create_checkpoint(tmp_path / name, TENSORS, {}, max_shard_bytes=shard_bytes) as writer,
    ):
        writer.write("t0", np.zeros(96, np.uint8))
        writer.write("t1", np.zeros(5, np.uint8))
        raise error
    assert not content(tmp_path)


def test_two_racing_writers_leave_one_whole_file(tmp_path: Path) -> None:
    wanted = [expected(tmp_path, "gguf", value=value)["m.gguf"] for value in (1, 2)]
    folder = tmp_path / "out"
    folder.mkdir()
    for _ in range(10):
        children = [
            in_child(lambda value=value: write(folder, "gguf", value=value)) for value in (1, 2)
        ]
        ended = [os.waitpid(child, 0)[1] for child in children]
        assert 0 in ended
        assert content(folder).keys() == {"m.gguf"}
        assert (folder / "m.gguf").read_bytes() in wanted
