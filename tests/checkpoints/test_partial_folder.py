"""A folder is as safe as a file: locked, complete or absent, and nobody else's is removed."""

import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from support.forked_child import run_child
from zeropoint.checkpoints import write_file
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.partial_folder import PartialFolder
from zeropoint.errors import CheckpointError, NotEnoughSpace

NAMES = ("config.json", "model.safetensors")


def write(target: Path, text: str = "new", *, overwrite: bool = False) -> None:
    with PartialFolder(target, NAMES, overwrite=overwrite) as folder:
        for name in NAMES:
            write_file(folder.part / name, text.encode())
        folder.publish()


def content(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


def whole(text: str) -> dict[str, str]:
    return {f"of/{name}": text for name in NAMES}


def test_a_folder_appears_with_its_files_and_leaves_nothing_beside_it(tmp_path):
    write(tmp_path / "of")
    assert content(tmp_path) == whole("new") and os.listdir(tmp_path) == ["of"]
    (tmp_path / "empty").mkdir()
    write(tmp_path / "empty")
    assert sorted(os.listdir(tmp_path / "empty")) == sorted(NAMES)


def test_a_second_writer_is_refused_and_removes_nothing(tmp_path):
    with PartialFolder(tmp_path / "of", NAMES) as folder:
        write_file(folder.part / NAMES[0], b"new")
        with pytest.raises(CheckpointError, match="is being written by another process"):
            write(tmp_path / "of")
        write_file(folder.part / NAMES[1], b"new")
        folder.publish()
    assert content(tmp_path) == whole("new")


def test_a_folder_is_replaced_only_where_that_is_asked(tmp_path):
    write(tmp_path / "of", "old")
    with pytest.raises(CheckpointError, match="exists"):
        write(tmp_path / "of")
    assert content(tmp_path) == whole("old")
    write(tmp_path / "of", overwrite=True)
    assert content(tmp_path) == whole("new") and os.listdir(tmp_path) == ["of"]
    (tmp_path / "of" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"holds thesis\.txt"):
        write(tmp_path / "of", "newer", overwrite=True)
    assert content(tmp_path) == whole("new") | {"of/thesis.txt": "years of work"}


@pytest.mark.parametrize("what", ["folder", "file", "link"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_the_user_calls_by_the_name_of_the_part_is_left_alone(tmp_path, what, overwrite):
    part = tmp_path / ".of.part"
    if what == "folder":
        part.mkdir()
        (part / "thesis.txt").write_text("years of work")
    elif what == "file":
        part.write_text("years of work")
    else:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("years of work")
        part.symlink_to(tmp_path / "mine")
    before = content(tmp_path)
    with pytest.raises(CheckpointError, match=r"\.of\.part is in the way"):
        write(tmp_path / "of", overwrite=overwrite)
    assert before and content(tmp_path) == before
    assert sorted(os.listdir(tmp_path)) == sorted(
        {path.split("/")[0] for path in before} | {part.name}
    )


def test_a_file_of_the_user_with_the_name_of_the_lock_is_left_alone(tmp_path):
    (tmp_path / ".of.part.lock").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"\.of\.part\.lock is in the way"):
        write(tmp_path / "of")
    assert content(tmp_path) == {".of.part.lock": "years of work"}


def test_another_folder_than_the_one_of_the_lock_file_is_left_alone(tmp_path):
    """A writer died, its part was removed, and the user now has a folder of this name."""
    with PartialFolder(tmp_path / "of", NAMES):
        record = (tmp_path / ".of.part.lock").read_bytes()
        mine = tmp_path / ".mine"
        mine.mkdir()  # while the part exists, so that it has another inode
        (mine / "thesis.txt").write_text("years of work")
    mine.rename(tmp_path / ".of.part")
    (tmp_path / ".of.part.lock").write_bytes(record)
    with pytest.raises(CheckpointError, match=r"\.of\.part is in the way"):
        write(tmp_path / "of")
    assert (tmp_path / ".of.part" / "thesis.txt").exists()


def failing(action) -> int:
    """Run here with a call that fails; return 0 if that call was not reached any more."""
    try:
        action()
    except (CheckpointError, NotEnoughSpace):
        return 5
    else:
        assert io._fault is not None
        return 6 if io._fault.calls >= io._fault.number else 0
    finally:
        io._fault = None


@pytest.mark.parametrize("old", [None, "old"])
@pytest.mark.parametrize("kind", ["kill", "eio", "enospc", "short"])
def test_whatever_call_fails_the_folder_is_old_or_new_and_the_next_run_cleans_up(
    tmp_path, monkeypatch, kind, old
):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is lost here
    outcomes = []
    for number in count(1):
        root = tmp_path / str(number)
        root.mkdir()
        if old:
            write(root / "of", old)

        def action(root=root, number=number):
            io._fault = io.InjectedFault(f"{kind}@{number}")
            write(root / "of", overwrite=bool(old))

        status = run_child(action) if kind == "kill" else failing(action)
        visible = {name: text for name, text in content(root).items() if name.startswith("of/")}
        before = whole(old) if old else {}
        assert visible in (before, whole("new"))
        outcomes.append(visible != before)
        if kind == "short" or (kind == "enospc" and not outcomes[-1]):
            # Otherwise what is left may be what could not be removed; the next run removes it.
            assert os.listdir(root) == ["of"] or not os.listdir(root)
        if outcomes[-1] and not old and kind == "kill" and status:
            with pytest.raises(CheckpointError, match="exists"):  # said so, and nothing is lost
                write(root / "of")
            assert content(root) == whole("new")
        write(root / "of", overwrite=outcomes[-1] or bool(old))
        assert content(root) == whole("new") and os.listdir(root) == ["of"]
        if status == 0:
            break
    assert number > 15
    if kind == "kill":
        assert outcomes == sorted(outcomes)  # old, old, …, new


@pytest.mark.parametrize("moment", ["while it is written", "before it is renamed"])
def test_two_writers_of_one_folder_leave_one_whole_folder(tmp_path, moment):
    """The first is stopped at a certain moment, as a busy machine would; the second then starts."""
    program = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from zeropoint.checkpoints import write_file\n"
        "from zeropoint.checkpoints.files import file_ops as io\n"
        "from zeropoint.checkpoints.files.partial_folder import PartialFolder\n"
        "def stop(): os.kill(os.getpid(), signal.SIGSTOP)\n"
        "with PartialFolder(Path(sys.argv[1]), ['config.json', 'model.safetensors']) as folder:\n"
        "    write_file(folder.part / 'config.json', b'first')\n"
        "    if sys.argv[2] == 'while it is written': stop()\n"
        "    write_file(folder.part / 'model.safetensors', b'first')\n"
        "    rename = io.rename\n"
        "    def late(*names): stop(); rename(*names)\n"
        "    if sys.argv[2] == 'before it is renamed': io.rename = late\n"
        "    folder.publish()\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path / "of"), moment]
    first = subprocess.Popen(command, env=environment)
    assert os.WIFSTOPPED(os.waitpid(first.pid, os.WUNTRACED)[1])
    try:
        for _ in range(3):
            with pytest.raises(CheckpointError, match="is being written by another process"):
                write(tmp_path / "of", "second")
    finally:
        first.send_signal(signal.SIGCONT)
    assert first.wait(timeout=60) == 0
    assert content(tmp_path) == whole("first") and os.listdir(tmp_path) == ["of"]
