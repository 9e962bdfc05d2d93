"""Whatever a file of a run holds, a command that reads it says so in one sentence.

The files are written through the run itself, so their hashes are right, as those of a run without
hashes are not known: the shapes, types and ranges are what has to be noticed.
"""

import io
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.results.run_store import RunFolder

FEW = ["--threads", "1", "-q"]
HARMLESS = {"seconds"}  # of arrays: any number of the right type is as good as another


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Commands that made a run in RUN; the last word of each is its folder."""
    folder = tmp_path_factory.mktemp("runs")
    model = str(write_model(folder / "a.gguf", columns=128))
    quant = str(write_model(folder / "b.gguf", columns=128, format="Q8_0"))
    text = folder / "words.txt"
    text.write_text("the rain in spain " * 40)
    tasks = folder / "tasks.jsonl"
    tasks.write_text("".join(
        json.dumps({"id": f"t{n}", "prompt": f"{n} is", "answer": "x"}) + "\n"
        for n in range(2)
    ))  # fmt: skip
    ways = {
        "measure": ["measure", quant, "--ref", model, "--text", str(text), "--ctx", "16",
                    "--chunks", "2", "--floor-chunks", "1"],
        "drift": ["drift", quant, "--ref", model, "--count", "1", "-n", "3", "--chains", "1",
                  "--steps", "1", "--level", "1"],
        "tasks": ["tasks", model, quant, "--tasks", str(tasks), "-n", "2"],
        "quantize": ["quantize", model, str(folder / "out.gguf"), "--to", "Q8_0", "--overwrite"],
    }  # fmt: skip
    found = {
        name: [*words, *FEW, "--run", str(folder / f"run-{name}")] for name, words in ways.items()
    }
    for words in found.values():
        assert main(words) == 0
    return found


def bad_arrays(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every way in which one of the arrays of an archive can be wrong."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {name: archive[name] for name in archive}
    for name, array in arrays.items():
        bad = {"missing": None, "another axis": array[None], "text": np.array("x")}
        if array.dtype.kind in "US":
            bad["text"] = np.zeros(array.shape)
        elif array.dtype.kind != "b":
            bad["of another type"] = array.astype(np.complex64)
            low = array.dtype.type(-5)
            bad["out of range"] = np.full_like(array, low)
        if array.dtype.kind == "f":
            bad["not a number"] = np.full_like(array, np.nan)
        if array.ndim:
            bad["longer"] = np.concatenate([array, array[:1]])
            bad["flat"] = array.reshape(-1)
        if array.ndim == 1 or name in HARMLESS:
            bad = {way: wrong for way, wrong in bad.items() if way != "flat"}
        if name.endswith("logp"):  # −5 is a fine log-probability
            bad["out of range"] = np.full_like(array, 5)
        for way, wrong in bad.items():
            changed = arrays | {name: wrong}
            buffer = io.BytesIO()
            np.savez(buffer, **{key: a for key, a in changed.items() if a is not None})
            yield f"{name} {way}", buffer.getvalue()


VALUES = [None, True, -1, 10**400, 1e999, "x", [], {}, [[]]]


def bad_tables(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a table with each of its places in turn holding something of another kind."""
    for text in (b"", b"{", b"[" * 100_000, b"1" * 5000, b'"\\ud800"'):
        yield f"{text[:6]!r}", text
    table = json.loads(data)
    for place in places(table):
        for value in VALUES:
            changed = json.loads(data)
            inner = changed
            for key in place[:-1]:
                inner = inner[key]
            if place:
                inner[place[-1]] = value
            yield f"{place} {value!r:.20}", json.dumps(changed if place else value).encode()


def places(table: Any, depth: int = 4) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every key (of a large table, to the first few) and first item of a list."""
    yield ()
    keys = list(table)[:12] if isinstance(table, dict) else [0] if isinstance(table, list) else []
    for key in keys if depth and table else ():
        for place in places(table[key], depth - 1):
            yield (key, *place)


def check_one(words: list[str], name: str, data: bytes, capsys: pytest.CaptureFixture[str]) -> int:
    """Replace a file of a copy of the run and run a command on it; return its exit status."""
    folder = Path(words[-1])
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    try:
        RunFolder.open(folder).save_bytes(name, data)
        capsys.readouterr()
        code = main(words if words[0] != "report" else [*words[:-1], str(folder)])
        said = capsys.readouterr().err
        assert code in (0, 2), said
        assert not code or (said.startswith("error: ") and said.count("\n") == 1), said
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
    return code


def files(folder: Path) -> list[str]:
    found = (path for path in sorted(folder.rglob("*")) if path.suffix in (".npz", ".json"))
    return [str(path.relative_to(folder)) for path in found if path.name != "run.json"]


def cases(folder: Path) -> list[tuple[str, str, bytes]]:
    makers: dict[str, Callable[[bytes], Iterator[tuple[str, bytes]]]] = {
        ".npz": bad_arrays,
        ".json": bad_tables,
    }
    return [
        (name, way, data)
        for name in files(folder)
        for way, data in makers[Path(name).suffix]((folder / name).read_bytes())
    ]


def check_all(
    commands: dict[str, list[str]], verb: str, share: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Resume, and report, on one of `share` cases."""
    words = commands[verb]
    folder = Path(words[-1])
    every = cases(folder)
    random.Random(verb).shuffle(every)
    reads = files(folder)
    assert every and all(any(name == one for one, *_ in every) for name in reads)
    for name, way, data in every[: len(every) // share]:
        report = ["report", "-o", str(folder.with_name("page.html")), "-q", str(folder)]
        resumed = check_one(words, name, data, capsys) if verb != "quantize" else None
        if name.startswith("chunks/") and resumed is not None:
            assert resumed == 2, f"{name} {way}"
        check_one(report, name, data, capsys)


@pytest.mark.parametrize("verb", ["measure", "drift", "tasks", "quantize"])
def test_a_damaged_file_of_a_run_is_one_sentence(
    commands: dict[str, list[str]], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_all(commands, verb, 40, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["measure", "drift", "tasks", "quantize"])
def test_every_damaged_file_of_a_run_is_one_sentence(
    commands: dict[str, list[str]], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    check_all(commands, verb, 1, capsys)
