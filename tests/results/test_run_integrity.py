"""One process writes a run, any number read it, and what the run did not write is refused."""

import json
import os
import signal
import subprocess
import sys
from itertools import count
from pathlib import Path

import numpy as np
import pytest

import zeropoint
from support.forked_child import REFUSED, run_child
from support.tiny_models import write_model
from zeropoint.checkpoints.files import file_ops as io
from zeropoint.cli import main
from zeropoint.errors import CheckpointError
from zeropoint.results import run_store
from zeropoint.results.run_checks import ArrayRule, check_arrays
from zeropoint.results.run_journal import JOURNAL
from zeropoint.results.run_store import RunFolder

HOLD = (
    "import sys\n"
    "from pathlib import Path\n"
    "from zeropoint.results.run_store import RunFolder\n"
    "run = RunFolder.start(Path(sys.argv[1]), 'measure', {'quant': 'abc'}, {})\n"
    "run.save_chunk(0, {})\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


def start(path: Path) -> RunFolder:
    return RunFolder.start(path, "measure", {"quant": "abc"}, {})


def do_all(path: Path, chunks: int = 1) -> None:
    """Do what a verb does with its run: measure the missing parts, write tables, finish."""
    run = start(path)
    done = run.chunks_done()
    for index in range(done):
        assert run.load_chunk(index)["kl"].tolist() == [index]
    for index in range(done, chunks):
        run.save_chunk(index, {"kl": np.array([index])})
    rows = run.load_rows("answers", int)
    for row in range(len(rows), 2):
        rows.append(row)
        run.save_table("answers", rows)
    run.save_arrays("hist", {"names": np.array(["a"])})
    run.finish({"kl": 0.5})


def check_done(path: Path) -> None:
    run = RunFolder.open(path)
    assert run.results == {"kl": 0.5} and run.load_table("answers") == [0, 1]
    assert run.load_chunk(0)["kl"].tolist() == [0]
    left = {str(p.relative_to(path)) for p in path.rglob("*") if p.is_file()}
    files = {"run.json", "answers.json", "hist.npz", "chunks/00000.npz"}
    assert left == files | {JOURNAL}
    lines = (path / JOURNAL).read_text().splitlines()
    assert {line.split("  ")[1] for line in lines} == files and len(lines) == len(files)


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that writes the run in `tmp_path/run`."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout and child.stdin and child.stdout.readline() == b"held\n"
    yield child
    child.kill()
    child.wait()
    child.stdout.close()
    child.stdin.close()


def test_a_run_is_written_by_one_process_and_read_by_others(holder, tmp_path):
    for _ in range(2):
        with pytest.raises(CheckpointError, match="is in use by another process"):
            start(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is in use by another process"):
        RunFolder.open(tmp_path / "run").save_table("answers", [])
    assert RunFolder.open(tmp_path / "run").load_chunk(0) == {}
    holder.kill()
    holder.wait()
    assert start(tmp_path / "run").chunks_done() == 1


def test_quantize_is_refused_before_its_work_where_its_run_is_in_use(holder, tmp_path, capsys):
    model, output = write_model(tmp_path / "m.gguf"), tmp_path / "out.gguf"
    words = ["quantize", str(model), str(output), "--to", "Q8_0", "--run", str(tmp_path / "run")]
    assert main(words) == 2
    assert "is in use by another process" in capsys.readouterr().err and not output.exists()


@pytest.mark.parametrize("journal", ["pipe", "link"])
def test_a_journal_that_is_no_file_is_refused(tmp_path, journal):
    do_all(tmp_path / "run")
    path = tmp_path / "run" / JOURNAL
    path.rename(tmp_path / "elsewhere")
    os.mkfifo(path) if journal == "pipe" else path.symlink_to(tmp_path / "elsewhere")
    before = (tmp_path / "elsewhere").read_bytes()
    with pytest.raises(CheckpointError, match=r"sha256\.txt"):
        RunFolder.open(tmp_path / "run").save_table("answers", [])
    assert (tmp_path / "elsewhere").read_bytes() == before


def test_a_link_to_a_run_is_the_run(holder, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    with pytest.raises(CheckpointError, match="is in use by another process"):
        start(tmp_path / "link")


def test_a_run_is_locked_while_it_is_alive_and_once_in_a_process(tmp_path):
    first = start(tmp_path / "run")
    second = start(tmp_path / "run")

    def refused() -> bool:
        """Try it in a forked child, which has the descriptors of its parent and not its lock."""
        return {0: False, REFUSED: True}[run_child(lambda: start(tmp_path / "run"))]

    assert refused()
    del first
    assert refused()
    del second
    assert not refused()


def test_a_folder_is_reserved_before_its_run_begins(tmp_path):
    reserved = RunFolder.reserve(tmp_path / "run")
    assert not list((tmp_path / "run").iterdir())
    assert start(tmp_path / "run").path == reserved.path
    RunFolder.reserve(tmp_path / "never" / "begun")
    assert not (tmp_path / "never" / "begun").exists()
    (tmp_path / "other").mkdir()
    RunFolder.reserve(tmp_path / "other")  # it was there before, so it stays
    (tmp_path / "other" / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="holds no run"):
        RunFolder.reserve(tmp_path / "other")


def test_a_folder_that_was_replaced_is_not_written(tmp_path):
    run = start(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").mkdir()
    with pytest.raises(CheckpointError, match="was removed or replaced"):
        run.save_table("answers", [])
    assert not list((tmp_path / "run").iterdir())


@pytest.mark.parametrize(
    "left",
    [
        ["chunks/"],
        [JOURNAL],
        ["chunks/", JOURNAL, ".run.json.part"],
        ["chunks/.00000.npz.part"],
        [],
    ],
)
def test_a_run_that_was_killed_before_its_first_record_begins_anew(tmp_path, left):
    for name in left:
        path = tmp_path / "run" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("cut sh")
    do_all(tmp_path / "run")
    check_done(tmp_path / "run")


@pytest.mark.parametrize("mine", ["chunks/thesis.npz", "thesis.txt", ".thesis", "chunks"])
def test_what_is_not_of_a_run_is_left_alone(tmp_path, mine):
    (tmp_path / "run" / mine).parent.mkdir(parents=True)
    (tmp_path / "run" / mine).write_text("years of work")
    with pytest.raises(CheckpointError, match="is not empty and holds no run"):
        start(tmp_path / "run")
    assert [p.read_text() for p in (tmp_path / "run").rglob("*") if p.is_file()] == [
        "years of work"
    ]


@pytest.mark.parametrize(("kind", "step"), [("kill", 1), ("eio", 3), ("enospc", 4)])
def test_a_run_goes_on_after_any_call_failed(tmp_path, monkeypatch, kind, step):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # no power is lost here
    for number in count(1, step):
        path = tmp_path / str(number)

        def action(path=path, number=number):
            io._fault = io.InjectedFault(f"{kind}@{number}")
            do_all(path)
            if io._fault.calls >= number:
                raise CheckpointError(path, "the fault did no harm")

        status = run_child(action)
        do_all(path)
        check_done(path)
        if status == 0:
            break
        assert status in (REFUSED, -signal.SIGKILL)
    assert number > 30


def test_a_run_of_another_version_is_read_and_not_resumed(tmp_path, monkeypatch):
    do_all(tmp_path / "run")
    monkeypatch.setattr(run_store, "__version__", "9.9.9")
    expected = f"was begun by zeropoint {zeropoint.__version__} and cannot be resumed by 9.9.9"
    with pytest.raises(CheckpointError, match=expected):
        start(tmp_path / "run")
    check_done(tmp_path / "run")


def test_a_run_without_hashes_is_read_and_not_resumed(tmp_path):
    """As version 0.1.0 wrote it before there were hashes."""
    do_all(tmp_path / "run")
    (tmp_path / "run" / JOURNAL).unlink()
    head = json.loads((tmp_path / "run" / "run.json").read_text())
    del head["journal"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(head))
    run = RunFolder.open(tmp_path / "run")
    assert run.load_chunk(0)["kl"].tolist() == [0] and run.results
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        start(tmp_path / "run")


@pytest.mark.parametrize("name", ["chunks/00000.npz", "answers.json", "hist.npz"])
def test_an_edited_file_is_refused_and_made_again_when_it_is_deleted(tmp_path, name):
    do_all(tmp_path / "run")
    path = tmp_path / "run" / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for run in (start(tmp_path / "run"), RunFolder.open(tmp_path / "run")):
        with pytest.raises(CheckpointError, match=r"is damaged: .*; delete it to measure it again"):
            run.load_chunk(0)
            run.load_table("answers")
            run.load_arrays("hist")
    path.unlink()
    do_all(tmp_path / "run")
    check_done(tmp_path / "run")


@pytest.mark.parametrize("change", ["edited", "without journal"])
def test_an_edited_head_is_not_resumed(tmp_path, change):
    do_all(tmp_path / "run")
    if change == "edited":
        path = tmp_path / "run" / "run.json"
        path.write_text(path.read_text().replace("0.5", "0.25"))
    else:
        (tmp_path / "run" / JOURNAL).unlink()
    with pytest.raises(CheckpointError, match=r"run\.json: is damaged"):
        start(tmp_path / "run")


def test_a_journal_whose_last_line_was_cut_short_goes_on(tmp_path):
    run = start(tmp_path / "run")
    run.save_chunk(0, {"kl": np.zeros(1)})
    with (tmp_path / "run" / JOURNAL).open("ab") as file:
        file.write(b"0123456789abcdef")
    again = start(tmp_path / "run")
    again.save_chunk(1, {"kl": np.ones(1)})
    assert [RunFolder.open(tmp_path / "run").load_chunk(i)["kl"][0] for i in (0, 1)] == [0, 1]


def test_a_reader_follows_a_run_that_is_being_written(tmp_path):
    run = start(tmp_path / "run")
    reader = RunFolder.open(tmp_path / "run")
    for number in range(3):
        run.save_table("answers", [number])
        assert reader.load_table("answers") == [number]
    run.finish({"done": True})
    assert reader.load_table("answers") == [2] and reader.results == {"done": True}


def test_a_file_that_is_replaced_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """The journal of a finished run has only the last hash of each file."""
    run = start(tmp_path / "run")
    run.save_table("answers", ["old"])
    read = run_store._read_bytes

    def slowly(path: Path) -> bytes:
        data = read(path)
        if path.name == "answers.json" and b"old" in data:
            run.save_table("answers", ["new"])
            run.finish({"done": True})
        return data

    monkeypatch.setattr(run_store, "_read_bytes", slowly)
    assert RunFolder.open(tmp_path / "run").load_table("answers") == ["new"]


RULES = {
    "kl": ArrayRule(("n",), np.floating, 0),
    "ids": ArrayRule(("n", 2), np.integer, 0, 9),
    "first": ArrayRule((), np.integer, 0),
    "same": ArrayRule(("n",), np.bool_),
    "way": ArrayRule((), np.str_),
}
GOOD = {
    "kl": np.array([0.5, 1.0]),
    "ids": np.array([[0, 1], [8, 9]]),
    "first": np.array(3),
    "same": np.array([True, False]),
    "way": np.array("greedy"),
}


def test_arrays_that_keep_the_rules_pass():
    check_arrays(GOOD, RULES)
    check_arrays(GOOD | {"more": np.zeros(3)}, RULES, {"n": 2})
    none = {name: array[:0] if array.ndim else array for name, array in GOOD.items()}
    check_arrays(none, RULES)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("kl", None),
        ("kl", np.array([0, 1])),
        ("kl", np.array([0.5, -1.0])),
        ("kl", np.array([0.5, np.nan])),
        ("kl", np.array([0.5, np.inf])),
        ("kl", np.array([0.5, np.inf], np.float32)),
        ("kl", np.array([0.5])),
        ("kl", np.array(0.5)),
        ("ids", np.array([0, 1, 8, 9])),
        ("ids", np.array([[0, 1, 2], [7, 8, 9]])),
        ("ids", np.array([[0, 1], [8, 10]])),
        ("ids", np.array([[0, 1], [8, -1]])),
        ("ids", np.array([[0.0, 1], [8, 9]])),
        ("ids", np.array([["0", "1"], ["8", "9"]])),
        ("first", np.array([3])),
        ("first", np.array(-3)),
        ("same", np.array([1, 0])),
        ("way", np.array(["greedy"])),
        ("way", np.array(b"greedy")),
    ],
)
def test_an_array_that_breaks_a_rule_is_named(name, array):
    arrays = {key: value for key, value in (GOOD | {name: array}).items() if value is not None}
    with pytest.raises(ValueError, match=r"kl|ids" if name == "kl" else name):
        check_arrays(arrays, RULES)
    with pytest.raises(ValueError, match="shape"):
        check_arrays(GOOD, RULES, {"n": 3})
