"""Every file that a user names, as text or table: pipes, devices and damaged files are refused.

The verbs and their parameters are the command line's own, so a new one is in the table at once.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from support.file_kinds import LFS
from support.tiny_models import write_model
from zeropoint.checkpoints.files import user_files
from zeropoint.cli import app, main
from zeropoint.cli.exits import say
from zeropoint.cli.paths import InputRole, OutputRole, roles

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
# Names of lm-evaluation-harness's tasks, and of formats: no file is opened.
NO_FILE = {("tasks", "harness"), ("ladder", "levels")}
TABLES = {("measure", "imatrix"), ("quantize", "imatrix"), ("measure", "llama_base")}  # not texts
SECONDS = 5


def places() -> Iterator[tuple[str, Any]]:
    """Every verb and parameter that names a file other than a model."""
    for verb, command in COMMANDS.items():
        notes = roles(command)
        for parameter in command.params:
            place, note = (verb, parameter.name), notes.get(parameter.name)
            read = note in (InputRole.FILE, InputRole.NAMES, InputRole.AFTER_COLON) or (
                isinstance(note, OutputRole) and note.needs
            )
            if (read and place not in NO_FILE) or place in TABLES:
                yield verb, parameter


PLACES = list(places())


def text_name(verb: str, parameter: Any) -> str:
    """A file name as this parameter takes it."""
    if roles(COMMANDS[verb])[parameter.name] is InputRole.NAMES:
        return "file.recipe"
    return "file.jsonl" if parameter.name in ("file", "tasks", "objective") else "file.txt"


def words(verb: str, parameter: Any, path: Path, folder: Path) -> list[str]:
    """A command that names `path` in this place, and good files in the others it must have."""
    good, text = folder / "good.gguf", folder / "text.txt"
    write_model(good, columns=64)
    text.write_text("the cat and the hat in the rain " * 80)
    short = ["--ctx", "16", "--chunks", "2"]
    texts = [] if parameter.name == "text" else ["--text", str(text)]
    sides = [] if parameter.name in ("as_", "llama_base") else ["--ref", str(good)]
    more = {
        "quantize": [str(folder / "out.gguf"), "--requantize"],
        "calibrate": [*short, *texts, "-o", str(folder / "out.gguf")],
        "search": ["-o", str(folder / "out.recipe"), "--bits", "9", "--requantize"],
        "heal": [str(folder / "out.gguf"), "--ref", str(folder / "reference.gguf")],
        "measure": [*short, *texts, *sides],
        "compare": [str(good), *short, *texts],
        "drift": ["--count", "1", "-n", "2", "--chains", "0", *sides],
        "ladder": [*short, *texts, "--requantize"],
        "plan": ["--memory", "8GiB"],
        "demo": ["--keep", str(folder / "kept"), "--chunks", "0"],
    }.get(verb, [])
    if (verb, parameter.name) in (("quantize", "imatrix"), ("quantize", "text")):
        more = [*more, "--to", "Q4_K"]
    if (verb, parameter.name) == ("measure", "imatrix"):
        more = [*short, *texts, "--as", "Q8_0"]
    if parameter.name == "llama_base":
        more = [*more, "--llama-compat"]
    named = f"tasks:{path}" if parameter.name == "objective" else str(path)
    first = folder / "trained.gguf" if verb == "train" else good
    return [verb, str(first), *more, parameter.opts[0], named]


def sparse(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "no such file"),
    "directory": (Path.mkdir, "directory|regular file"),
    "pipe without a writer": (os.mkfifo, "nothing writes to this pipe|regular file"),
    "/dev/zero": (lambda path: path.symlink_to("/dev/zero"), "device|regular file"),
    "/dev/full": (lambda path: path.symlink_to("/dev/full"), "device|regular file"),
    "too large": (sparse, "limit|larger|magic|entry count|base file"),
    "not UTF-8": (lambda path: path.write_bytes(b"abc\xff\n"), r"byte \d+"),
    "Git LFS pointer": (lambda path: path.write_bytes(LFS), "git lfs pull"),
}


@pytest.fixture
def deadline() -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError(f"longer than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("deadline")
@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize(("verb", "parameter"), PLACES, ids=lambda v: getattr(v, "name", v))
def test_a_file_that_cannot_be_read_is_one_sentence_in_seconds(
    verb: str, parameter: Any, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(user_files, "FIRST_WRITER_SECONDS", 0.05)
    spoil, says = BAD[fault]
    path = tmp_path / text_name(verb, parameter)
    spoil(path)
    code = main(words(verb, parameter, path, tmp_path))
    said = capfd.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1, said
    assert re.search(says, errors[0], re.IGNORECASE) and path.name in errors[0], said
    assert len(errors[0]) <= 300 and not (tmp_path / "out.gguf").exists()


def zeropoint(command: str, folder: Path, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a shell's command line, in which "zp" stands for zeropoint."""
    command = command.replace("zp ", f"{sys.executable} -m zeropoint ")
    return subprocess.run(
        ["bash", "-c", command], cwd=folder, capture_output=True, text=True, timeout=seconds
    )


def test_a_process_substitution_is_read_like_a_file(tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf", columns=64)
    (tmp_path / "t.txt").write_text("the cat and the hat in the rain " * 80)
    common = "zp calibrate m.gguf --ctx 16 --chunks 2 -q --json"
    slow = zeropoint(f"{common} -o a.gguf --text <(sleep 0.3; cat t.txt)", tmp_path)
    assert slow.returncode == 0, slow.stderr
    assert zeropoint(f"{common} -o b.gguf --text t.txt", tmp_path).returncode == 0
    sums = [(tmp_path / name).read_bytes()[-256:] for name in ("a.gguf", "b.gguf")]
    assert sums[0] == sums[1]


def test_a_pipe_without_a_writer_is_refused_in_seconds(tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf", columns=64)
    os.mkfifo(tmp_path / "p.recipe")
    done = zeropoint("zp quantize m.gguf --to p.recipe --dry-run", tmp_path, 20)
    assert done.returncode == 2 and "nothing writes to this pipe" in done.stderr


def test_a_run_folder_whose_files_are_pipes_is_refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    os.mkfifo(tmp_path / "run" / "run.json")
    assert main(["report", str(tmp_path / "run"), "-o", str(tmp_path / "o.html")]) == 2
    assert "not a regular file" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "devices"])
def test_a_configuration_that_is_a_pipe_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert main(["plan", str(tmp_path / "config.json"), "--memory", "1GiB"]) == 2
    assert "not a regular file" in capfd.readouterr().err


def test_a_long_message_keeps_both_ends_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    say("error: " + "file" + "x" * 600_000 + "\n\x1b[2J" + "the reason")
    said = capfd.readouterr().err
    assert said.startswith("error: filexx") and said.endswith("the reason\n")
    assert len(said) <= 300 and said.count("\n") == 1 and said[:-1].isprintable()


@pytest.mark.parametrize("line", ["x" * 100_000, "* " + "Q" * 100_000, "* Q4_K\n" + "y" * 100_000])
def test_a_message_about_a_long_line_is_short(
    line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_model(tmp_path / "m.gguf", columns=64)
    (tmp_path / "l.recipe").write_text(line)
    words = ["quantize", str(tmp_path / "m.gguf"), "--to", str(tmp_path / "l.recipe"), "--dry-run"]
    assert main(words) == 2
    said = capfd.readouterr().err
    assert "l.recipe: line" in said and len(said) <= 300


def test_the_table_is_not_empty() -> None:
    assert len(PLACES) >= 15
    assert {name for _, p in PLACES for name in [p.name]} >= {"text", "prompts", "to", "as_"}
