"""Every verb with every kind of file that is not a language model: it works, or it is refused.

The verbs and their parameters are the command line's own, so a new one is in the table at once.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from support.file_kinds import KINDS
from support.tiny_models import write_model
from zeropoint.cli import app, main
from zeropoint.cli.paths import InputRole, roles

COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
NO_MODEL = {("measure", "imatrix"), ("quantize", "imatrix"), ("quantize", "calibration"),
            ("ladder", "imatrix"), ("plan", "runs"), ("studio", "root"),
            ("tasks", "include"), ("search", "imatrix")}  # fmt: skip
# Use that a verb makes of a model; all others run it. A page or the studio shows weights.
USES = {verb: verb for verb in ("inspect", "quantize", "calibrate", "plan")}
USES |= {"report": "quantize", "studio": "quantize"}
USES |= {"heal": "heal"}  # of two models that belong together: no single file is enough


def places() -> Iterator[tuple[str, Any]]:
    """Every verb and parameter that names a model."""
    for verb, command in COMMANDS.items():
        notes = roles(command)
        for parameter in command.params:
            place = verb, parameter.name
            if notes.get(parameter.name) is InputRole.MODEL and place not in NO_MODEL:
                yield verb, parameter


def words(verb: str, parameter: Any, path: Path, folder: Path) -> list[str]:
    """A command that names `path` in this place, and a good model in the others it must have."""
    good, text, tasks = folder / "good.gguf", folder / "text.txt", folder / "tasks.jsonl"
    if not good.exists():
        write_model(good, columns=64)
        text.write_text("the cat and the hat in the rain\n" * 1000)
        tasks.write_text('{"prompt": "a", "answer": "b"}\n')
    short = ["--text", str(text), "--ctx", "16", "--chunks", "1"]
    more = {
        "run": ["-p", "the", "-n", "1"],
        "quantize": ["--to", "Q8_0", "--requantize"],
        "calibrate": [*short, "-o", str(folder / "out.gguf")],
        "search": [
            "-o",
            str(folder / "out.recipe"),
            "--overwrite",
            "--text",
            str(text),
            "--bits",
            "9",
            "--effort",
            "quick",
            "--evaluations",
            "0",
            "--requantize",
        ],
        "heal": ["--text", str(text)],
        "measure": short,
        "compare": short,
        "drift": ["--count", "1", "-n", "2", "--chains", "0"],
        "tasks": ["--tasks", str(tasks)],
        "ladder": [*short, "--levels", "8"],
        "card": ["-o", str(folder / "card")],
        "report": ["--walk", "-o", str(folder / "page.html")],
        "bench": ["-p", "4", "-n", "1", "-r", "1"],
        "plan": ["--memory", "8GiB"],
        "demo": ["--keep", str(folder / "kept"), "--chunks", "1"],
        "studio": ["--no-open"],
        "train": [
            *("--text", str(text), "--tokens", "1", "--ctx", "32", "--overwrite"),
            *("--format", "BF16", "--against", "none"),
        ],
    }.get(verb, [])
    option = parameter.param_type_name == "option"
    first = [str(good)] if option else [str(path)]
    output = [str(folder / "out.gguf")] if verb in ("quantize", "train", "heal") else []
    if verb == "train":  # a model is an option
        first = []
    named = [parameter.opts[0], str(path)] if option else []
    names = {each.name for each in COMMANDS[verb].params}
    if "ref" in names and not option:
        named = ["--ref", str(good)]
    return [verb, *first, *output, *more, *named]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    found: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in found:
            found[name] = KINDS[name].make(tmp_path_factory.mktemp("kind"))
        return found[name]

    return get


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A studio that is not refused ends at once, and so fails the test."""
    monkeypatch.setattr("zeropoint.studio.http.timeouts.serve", lambda *_: None)


def outputs(folder: Path) -> set[str]:
    inputs = {"good.gguf", "text.txt", "tasks.jsonl"}
    return {path.name for path in folder.rglob("*") if path.is_file()} - inputs


PLACES = list(places())


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("verb", "parameter"), PLACES, ids=lambda value: getattr(value, "name", value)
)
def test_a_verb_says_what_works_for_a_file_that_is_no_language_model(
    verb: str, parameter: Any, name: str, made: Callable[[str], Path], tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    kind, path = KINDS[name], made(name)
    works = USES.get(verb, "run") in kind.works
    if works and verb in ("report", "studio"):
        pytest.skip("it shows the weights, which takes seconds")
    code = main(words(verb, parameter, path, tmp_path))
    said = capfd.readouterr()
    if works:
        assert code == 0, said.err
        return
    errors = [line for line in said.err.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(errors) == 1, said.err
    assert kind.says in errors[0] and path.name in errors[0] and len(errors[0]) <= 300, said.err
    assert not outputs(tmp_path)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.works])
def test_inspect_shows_the_kind_of_a_file(
    name: str, made: Callable[[str], Path], capfd: pytest.CaptureFixture[str]
) -> None:
    kind, path = KINDS[name], made(name)
    assert main(["inspect", str(path), "--no-outliers"]) == 0
    assert kind.says in capfd.readouterr().out
    assert main(["inspect", str(path), "--no-outliers", "--json"]) == 0
    found = json.loads(capfd.readouterr().out)["kind"]
    assert found["name"] == kind.name and set(found["uses"]) == kind.works
    assert kind.says in found["described"] and found["advice"]


def test_a_language_model_is_a_model_for_inspect(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_model(tmp_path / "model.gguf", columns=64)
    assert main(["inspect", str(path), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["kind"]["name"] == "model"
    assert main(["inspect", str(path)]) == 0
    assert "This file" not in capfd.readouterr().out


def test_the_table_is_not_empty() -> None:
    assert len(PLACES) >= 18 and len(KINDS) >= 25
    assert {verb for verb, _ in PLACES} >= {"inspect", "quantize", "run", "tasks", "bench", "plan"}
