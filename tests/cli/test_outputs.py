"""No output of any command replaces an input: every output option against every input.

The table is the command line's own definition, so a new option is in it as soon as it exists.
"""

import inspect
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer

from support.messages import shown
from zeropoint.cli import app, main
from zeropoint.cli.paths import InputRole, OutputRole, label_of, roles

COMMAND: Any = typer.main.get_command(app)
# Parameters that are text and name no file. Every other text or path has a note in its annotation.
WORDS = {
    "bench": {"peer", "kv"},
    "card": {"base_model", "license", "quantized_by"},
    "explain": {"what", "format", "block", "device"},
    "heal": {"tokens", "stages", "device"},
    "inspect": {"tensors"},
    "ladder": {"share", "with_"},
    "measure": {"gates", "kv"},
    "plan": {"device", "memory", "ctx", "kv", "objective", "host", "ram", "price"},
    "quantize": {
        "tensor_type", "output_tensor_type", "token_embedding_type", "split_max_size",
        "bits", "budget", "runtime_memory", "device",
    },
    "run": {"prompt", "system", "device", "kv"},
    "serve": {"host", "api_key", "allow_host", "allow_origin", "kv"},
    "search": {"bits", "budget", "runtime_memory", "device", "weight"},
    "train": {"format", "against"},
}  # fmt: skip
SPELLINGS = ("the same name", "./", "..", "symbolic link", "hard link")


def types_in(hint: Any) -> Iterator[Any]:
    """A hint and everything inside it: list[Path] | None holds Path."""
    yield hint
    for part in get_args(hint):
        yield from types_in(part)


@pytest.mark.parametrize("verb", COMMAND.commands)
def test_every_path_of_a_verb_says_whether_it_is_read_or_written(verb: str) -> None:
    command = COMMAND.commands[verb]
    hints = get_type_hints(inspect.unwrap(command.callback))
    named = {n for n, hint in hints.items() if {Path, str} & set(types_in(hint))} - {"return"}
    assert named == set(roles(command)) | WORDS.get(verb, set())
    assert all(p.name in hints for p in command.params if p.name != "help")


@dataclass(frozen=True)
class Pair:
    """An output of a verb, and something that the same command reads."""

    verb: str
    output: Any
    input: Any

    def __str__(self) -> str:
        return f"{self.verb} {label_of(self.output)} {label_of(self.input)}"

    @property
    def note(self) -> OutputRole:
        found = roles(COMMAND.commands[self.verb])[self.output.name]
        assert isinstance(found, OutputRole)
        return found

    def words(self, output: str, given: str, other: str) -> list[str]:
        """The command: `other` stands wherever one more path must be said."""
        values = {self.output.name: output, self.input.name: given}
        if self.note.needs:
            values.setdefault(self.note.needs, other)
        return command_line(self.verb, values, other)


def command_line(verb: str, values: dict[str, str], other: str) -> list[str]:
    """The words of a command with these parameters, and with whatever else it must have."""
    words, notes = [verb], roles(COMMAND.commands[verb])
    for parameter in COMMAND.commands[verb].params:
        value = values.get(parameter.name)
        if value is None and parameter.required:
            value = other + ".gguf" if isinstance(notes[parameter.name], OutputRole) else other
        if parameter.name == "overwrite":
            words.append("--overwrite")
        elif value is not None:
            words += [parameter.opts[0]] * (parameter.param_type_name == "option") + [value]
    return words


def writers() -> dict[str, list[Any]]:
    """The outputs of each verb that has some."""
    found = {}
    for verb, command in COMMAND.commands.items():
        notes = roles(command)
        outputs = [p for p in command.params if isinstance(notes.get(p.name), OutputRole)]
        if outputs:
            found[verb] = outputs
    return found


def pairs() -> list[Pair]:
    found = []
    for verb, outputs in writers().items():
        notes = roles(COMMAND.commands[verb])
        inputs = [
            p for p in COMMAND.commands[verb].params if isinstance(notes.get(p.name), InputRole)
        ]
        found += [Pair(verb, output, given) for output in outputs for given in inputs]
    return found


PAIRS = pairs()


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in sorted(folder.rglob("*"))}


def refused(words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command that must change nothing, and return its one sentence."""
    before = snapshot(folder)
    assert main(words) == 2, words
    assert snapshot(folder) == before
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: "), said
    return said


def make_input(folder: Path, reads: InputRole) -> Path:
    """A file as a parameter of this kind takes it."""
    path = folder / {"model": "in.gguf", "file": "in.txt", "names": "in.recipe",
                     "tree": "in.txt", "after colon": "in.txt"}[reads.value]  # fmt: skip
    path.write_bytes(b"GGUF" + bytes(20) if reads is InputRole.MODEL else b"* Q4_K\n")
    return path


def word_for(path: Path, reads: InputRole) -> str:
    """The word that names a file to a parameter of this kind."""
    return f"tasks:{path}" if reads is InputRole.AFTER_COLON else str(path)


def spelled(path: Path, spelling: str) -> str:
    """Another name for a file or folder."""
    if spelling == "./":
        return f"./{path.name}"
    if spelling == "..":
        return str(path.parent / ".." / path.parent.name / path.name)
    if spelling == "the same name":
        return str(path)
    link = path.with_name(f"link{path.suffix}")
    (link.symlink_to if spelling == "symbolic link" else link.hardlink_to)(path)
    return str(link)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_no_output_is_an_input(
    pair: Pair,
    spelling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    note = roles(COMMAND.commands[pair.verb])[pair.input.name]
    assert isinstance(note, InputRole)
    given = make_input(tmp_path, note)
    output = spelled(given, spelling)
    (tmp_path / "more").mkdir()
    other = str(make_input(tmp_path / "more", InputRole.MODEL))
    said = refused(pair.words(output, word_for(given, note), other), tmp_path, capsys)
    assert f"{label_of(pair.output)} {shown(output)} is the input" in said
    assert f"{label_of(pair.input)} {shown(given)}" in said


FOLDERS = [pair for pair in PAIRS if pair.note.kind == "folder"]


@pytest.mark.parametrize("spelling", ["the same name", "./", "symbolic link"])
@pytest.mark.parametrize("pair", FOLDERS, ids=str)
def test_no_output_folder_holds_an_input(
    pair: Pair,
    spelling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "folder"
    folder.mkdir()
    note = roles(COMMAND.commands[pair.verb])[pair.input.name]
    assert isinstance(note, InputRole)
    given = make_input(folder, note)
    other = str(make_input(tmp_path, InputRole.MODEL))
    output = spelled(folder, spelling)
    said = refused(pair.words(output, word_for(given, note), other), tmp_path, capsys)
    assert f"{label_of(pair.output)} {shown(output)} holds the input {label_of(pair.input)}" in said


FILES = [pair for pair in PAIRS if pair.note.kind in ("file", "model", "page")
         and roles(COMMAND.commands[pair.verb])[pair.input.name] is InputRole.MODEL]  # fmt: skip


@pytest.mark.parametrize("spelling", ["the same name", "symbolic link", "hard link"])
@pytest.mark.parametrize("member", ["in-00002-of-00002.gguf", "config.json", "chunks/00000.npz"])
@pytest.mark.parametrize("pair", FILES, ids=str)
def test_no_output_is_one_of_the_files_that_an_input_stands_for(
    pair: Pair,
    member: str,
    spelling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A shard stands for its set, a folder for all its files."""
    given = tmp_path / "folder" / "in-00001-of-00002.gguf"
    file = given.parent / member
    file.parent.mkdir(parents=True)
    for path in (given, file):
        path.write_bytes(b"GGUF")
    monkeypatch.chdir(file.parent)
    other = str(make_input(tmp_path, InputRole.MODEL))
    output = spelled(file, spelling)
    source = given if member.startswith("in-") else given.parent
    said = refused(pair.words(output, str(source), other), tmp_path, capsys)
    assert f"{label_of(pair.output)} {shown(output)} is a file of the input" in said


def output_pairs() -> list[tuple[str, str, str]]:
    return [
        (verb, one.name, two.name)
        for verb, found in writers().items()
        for one, two in combinations(found, 2)
    ]


@pytest.mark.parametrize("outputs", output_pairs(), ids=" ".join)
@pytest.mark.parametrize("spelling", ["the same name", "./", "symbolic link"])
def test_two_outputs_of_a_command_are_never_one(
    outputs: tuple[str, str, str],
    spelling: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    verb, one, two = outputs
    labels = {p.name: label_of(p) for p in COMMAND.commands[verb].params}
    model = str(make_input(tmp_path, InputRole.MODEL))
    path = tmp_path / "out.html"
    output = spelled(path, spelling)
    values = {one: str(path), two: output}
    if "llama_base" in values:
        values["ref"] = model
    said = refused(command_line(verb, values, model), tmp_path, capsys)
    assert labels[one] in said and labels[two] in said and "same output" in said


def test_the_table_is_not_empty() -> None:
    assert {"quantize", "calibrate", "measure", "report", "demo"} <= set(writers())
    assert len(PAIRS) >= 60 and len(FOLDERS) >= 25 and len(FILES) >= 15
    assert len(output_pairs()) >= 12
    assert os.sep == "/"
