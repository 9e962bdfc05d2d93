"""Whatever ends a write, the old file or the new one is there, whole: each call fails in turn."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
import warnings
from itertools import count

import numpy as np
import pytest

from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.errors import CheckpointError, NotEnoughSpace
from zeropoint.formats import FORMATS

TENSORS = [NewTensor(f"t{n}", (3, 8), FORMATS["F32"]) for n in range(3)]
LAYOUTS = {  # name of the output, bytes of a shard
    "gguf": ("m.gguf", None),
    "gguf shards": ("m.gguf", 1),
    "safetensors": ("m.safetensors", None),
    "safetensors shards": ("m.safetensors", 1),
}
OLD = b"what was there before"


def write(folder, layout, *, tensors=TENSORS, value=1, pause=0.0):
    name, shard_bytes = LAYOUTS[layout]
    metadata = {"general.name": "x"}
    with create_checkpoint(folder / name, tensors, metadata, max_shard_bytes=shard_bytes) as writer:
        for tensor in tensors:
            for row in range(tensor.shape[0]):
                writer.write(tensor.name, np.full(4 * tensor.shape[1], value + row, np.uint8))
                time.sleep(pause) if pause else None
    return writer


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def expected(tmp_path, layout, **options):
    folder = tmp_path / "expected"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    write(folder, layout, **options)
    return content(folder)


def in_child(action):
    """Run in a forked process; return its exit status as `waitpid` gives it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        except NotEnoughSpace:
            os._exit(4)
        except CheckpointError:
            os._exit(5)
        finally:
            os._exit(70)
    return child


def check_old_or_new(folder, new, old):
    """Assert that what has the name of the output is whole; return whether it is the new one."""
    found = content(folder)
    if len(new) == 1:
        (name,) = new
        assert found.get(name) in (new[name], old)
        assert set(found) <= {name, f".{name}.part"}
        return found.get(name) == new[name]
    key = (
        "m-00001-of-00003.gguf"
        if "m.safetensors.index.json" not in new
        else "m.safetensors.index.json"
    )
    if key not in found:
        with pytest.raises(CheckpointError):
            open_checkpoint(folder / key)
        return False
    assert found == new
    return True


@pytest.mark.parametrize("old", [OLD, None], ids=["over an old file", "where nothing was"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_kill_before_any_call_leaves_old_or_new_and_the_next_run_cleans_up(tmp_path, layout, old):
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
            io._fault = io.Fault(f"kill@{number}")
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
def test_a_failing_call_is_one_sentence_and_leaves_no_part(tmp_path, monkeypatch, layout, kind):
    new = expected(tmp_path, layout)
    single = len(new) == 1
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        if single:
            (folder / LAYOUTS[layout][0]).write_bytes(OLD)
        fault = io.Fault(f"{kind}@{number}")
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
def test_short_writes_and_reads_change_nothing(tmp_path, monkeypatch, layout):
    new = expected(tmp_path, layout)
    for number in count(1):
        folder = tmp_path / str(number)
        folder.mkdir()
        fault = io.Fault(f"short@{number}")
        monkeypatch.setattr(io, "_fault", fault)
        writer = write(folder, layout)
        monkeypatch.setattr(io, "_fault", None)
        assert content(folder) == new
        if fault.calls < number:
            break
    for number in count(1):
        fault = io.Fault(f"short@{number}")
        monkeypatch.setattr(io, "_fault", fault)
        with open_checkpoint(writer.files[writer.plan.key]) as read:
            for tensor in TENSORS:
                assert read.read_rows(tensor.name, 1, 3).data.max() == 3
        if fault.calls < number:
            break


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_device_that_fails_while_reading_is_one_sentence(tmp_path, monkeypatch, layout):
    writer = write(tmp_path, layout)
    for number in count(1):
        fault = io.Fault(f"eio@{number}")
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
def test_no_name_is_given_before_the_data_is_on_the_device(tmp_path, monkeypatch, layout):
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


def kill_at_random(tmp_path, times, seed):
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


def test_kills_at_random_moments_leave_old_or_new(tmp_path):
    assert kill_at_random(tmp_path, 15, seed=0) < 15


@pytest.mark.slow
def test_many_kills_at_random_moments_leave_old_or_new(tmp_path):
    assert 0 < kill_at_random(tmp_path, 400, seed=1) < 400


def test_the_environment_names_the_call_that_fails(tmp_path):
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


def test_a_limit_on_file_sizes_is_one_sentence(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "m.gguf").write_bytes(OLD)

    def action():
        resource.setrlimit(resource.RLIMIT_FSIZE, (300, 300))
        write(folder, "gguf")

    status = os.waitpid(in_child(action), 0)[1]
    assert os.WEXITSTATUS(status) == 4
    assert content(folder) == {"m.gguf": OLD}


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(tmp_path, monkeypatch):
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


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, RuntimeError])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_exception_leaves_nothing_behind(tmp_path, layout, error):
    name, shard_bytes = LAYOUTS[layout]
    with (
        pytest.raises(error),
        create_checkpoint(tmp_path / name, TENSORS, {}, max_shard_bytes=shard_bytes) as writer,
    ):
        writer.write("t0", np.zeros(96, np.uint8))
        writer.write("t1", np.zeros(5, np.uint8))
        raise error
    assert not content(tmp_path)


def test_an_output_that_is_not_complete_does_not_appear(tmp_path):
    with (
        pytest.raises(ValueError, match="t1 and what follows it was not written"),
        create_checkpoint(tmp_path / "m.gguf", TENSORS, {}) as writer,
    ):
        writer.write("t0", np.zeros(96, np.uint8))
    assert not content(tmp_path)


def test_a_writer_takes_only_what_is_due(tmp_path):
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


def spellings(path):
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


def test_an_output_that_is_the_input_is_refused_however_it_is_spelled(tmp_path):
    write(tmp_path, "gguf")
    path = tmp_path / "m.gguf"
    before = path.read_bytes()
    source = open_checkpoint(path)
    for spelling in spellings(path):
        with pytest.raises(CheckpointError, match="is the input itself"):
            create_checkpoint(spelling, TENSORS, {}, sources=source.files)
    assert path.read_bytes() == before


def test_an_output_that_is_a_shard_of_the_input_is_refused(tmp_path):
    writer = write(tmp_path, "gguf shards")
    source = open_checkpoint(writer.files[2])
    with pytest.raises(CheckpointError, match="is the input itself"):
        create_checkpoint(writer.files[1], TENSORS, {}, sources=source.files)


def test_a_set_replaces_no_file(tmp_path):
    (tmp_path / "m-00002-of-00003.gguf").write_bytes(OLD)
    with pytest.raises(CheckpointError, match="a set of files replaces none"):
        write(tmp_path, "gguf shards")
    assert content(tmp_path) == {"m-00002-of-00003.gguf": OLD}


def test_leftovers_of_a_set_with_another_number_of_shards_are_removed(tmp_path):
    parts = [tmp_path / f".m-0000{n}-of-00004.gguf.part" for n in (1, 3, 4)]
    for path in (*parts, tmp_path / "m-00002-of-00004.gguf"):
        path.write_bytes(b"cut short")
    (tmp_path / "m-00002-of-00007.gguf").write_bytes(OLD)  # not of that set
    write(tmp_path, "gguf")
    assert set(content(tmp_path)) == {"m.gguf", "m-00002-of-00007.gguf"}


def test_a_second_writer_of_one_name_is_told_so(tmp_path):
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


def test_two_racing_writers_leave_one_whole_file(tmp_path):
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


def test_what_is_in_the_way_of_the_part_is_not_touched(tmp_path):
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
def test_an_output_that_is_no_file_is_refused(tmp_path, special):
    path = tmp_path / "m.gguf"
    if special == "directory":
        path.mkdir()
    elif special == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(special)
    with pytest.raises(CheckpointError, match="not a regular file"):
        write(tmp_path, "gguf")


def test_a_directory_that_is_not_there_or_takes_nothing_is_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="its directory does not exist"):
        write(tmp_path / "none", "gguf")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.access(closed, os.W_OK):
        pytest.skip("modes do not bind this user")
    with pytest.raises(CheckpointError, match="cannot be written: permission denied"):
        write(closed, "gguf")


def test_a_name_that_is_too_long_is_one_sentence(tmp_path):
    with pytest.raises(CheckpointError, match="file name too long"):
        with create_checkpoint(tmp_path / ("x" * 250 + ".gguf"), [], {}):
            pass


def test_a_source_that_changes_under_the_reader_is_an_error_and_no_signal(tmp_path):
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


def test_a_source_that_is_replaced_is_read_as_it_was(tmp_path):
    write(tmp_path, "gguf", value=1)
    with open_checkpoint(tmp_path / "m.gguf") as read:
        write(tmp_path, "gguf", value=9)
        assert read.read_rows("t0", 0, 1).data.max() == 1
