"""One system call of a verb fails or the process dies there; the output is old or new.

The calls are failed by a library that is preloaded (shim.c), below Python and below our own `io`.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from support import faults as shim_folder
from support.faults.cases import Case, cases, content
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.quantizers.proof import read_proof

SHIM = Path(shim_folder.__file__).with_name("shim.c")
NAMES = ["quantize to a file", "quantize to a folder", "calibrate", "measure"]
# Inputs with which each kind of failure is tried.
PAIRS = [
    *((call, kind) for call in ("pwrite", "fsync", "rename", "mkdir") for kind in ("kill", "eio")),
    *((call, "enospc") for call in ("pwrite", "rename")),
    *((call, "short") for call in ("pwrite", "preadv")),
    ("preadv", "eio"),
    ("preadv", "kill"),
    ("unlink", "kill"),
    ("unlink", "eio"),
]


class Driver:
    """The process that runs command lines in children, one of whose calls fails."""

    def __init__(self, shim: Path, below: Path) -> None:
        self.below = below
        environment = os.environ | {
            "LD_PRELOAD": str(shim),
            "PYTHONPATH": os.pathsep.join(sys.path),
            "OMP_NUM_THREADS": "1",
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.faults.driver", str(shim)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(
        self, words: Sequence[str], output: Path, fault: tuple[str, str, int] = ("", "count", 0)
    ) -> tuple[int, dict[str, int]]:
        """Run a command line; return its exit status, and how many calls of each kind it made.

        Calls are those below the folder of all tests: the model's, the text's and the output's.
        """
        call, kind, number = fault
        asked = {
            "words": [str(output) if word == "OUT" else word for word in words],
            "call": call,
            "kind": kind,
            "number": number,
            "below": str(self.below),
        }
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        return answer["status"], answer["calls"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def driver(place: Path) -> Iterator[Driver]:
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler (cc) for the library that makes system calls fail")
    shim = place / "shim.so"
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", shim, SHIM, "-ldl"], check=True)
    found = Driver(shim, place)
    yield found
    assert found.process.stdin and found.process.stdout
    found.process.stdin.close()
    found.process.wait()
    found.process.stdout.close()


@pytest.fixture(scope="module")
def every_case(place: Path) -> dict[str, Case]:
    model = write_model(place / "tiny.gguf", columns=128)
    text = place / "words.txt"
    text.write_text("the rain in spain stays mainly in the plain " * 30)
    return {case.name: case for case in cases(str(model), str(text))}


class Trial:
    """A case with what its output is before and after."""

    def __init__(self, driver: Driver, case: Case, place: Path) -> None:
        self.driver, self.case, self.place = driver, case, place
        self.new = self._made(case.words)
        self.old = self._made(case.old) if case.old else {}
        assert self.new and self.new != self.old
        status, self.calls = driver.run(case.words, self._begun(), ("", "count", 0))
        assert status == 0

    def folder(self) -> Path:
        folder = Path(tempfile.mkdtemp(dir=self.place))
        return folder

    def _made(self, words: Any) -> dict[str, bytes]:
        output = self.folder() / self.case.output
        assert self.driver.run(words, output)[0] == 0
        self.example = output
        return content(output)

    def _begun(self) -> Path:
        """Return the output, in a folder of its own, as it was before."""
        folder = self.folder()
        if self.case.old:
            (shutil.copytree if self.example.is_dir() else shutil.copy)(
                self.example, folder / self.case.output
            )
        return folder / self.case.output

    def fail(self, call: str, kind: str, number: int) -> int:
        """Fail one call, check the output, run the case again and check it; return the status."""
        output = self._begun()
        status, _ = self.driver.run(self.case.words, output, (call, kind, number))
        told = f"{self.case.name}: {call} {kind} {number} ended with {status}"
        assert status in {"kill": (-9,), "short": (0,)}.get(kind, (0, 2)), told
        found = content(output)
        if self.case.resumes:
            assert all(found[name] == self.new.get(name) for name in found if "chunks/0" in name)
        else:
            assert found in (self.old, self.new), told
        assert status or found == self.new, told
        assert self.driver.run(self.case.words, output)[0] == 0, told
        assert content(output) == self.new, told
        assert [path.name for path in output.parent.iterdir()] == [self.case.output], told
        return status


@pytest.mark.parametrize("name", NAMES)
def test_a_call_that_fails_leaves_the_old_output_or_the_new_one(
    driver: Driver, every_case: dict[str, Case], place: Path, name: str
) -> None:
    """A few calls of each verb, other ones for each: the last of its kind, or one in the middle."""
    trial = Trial(driver, every_case[name], place)
    statuses = []
    for place, (call, kind) in enumerate(PAIRS):
        if place % len(NAMES) == NAMES.index(name) and (calls := trial.calls[call]):
            statuses.append(trial.fail(call, kind, calls if place % 2 else (calls + 1) // 2))
    statuses.append(trial.fail("rename", "kill", trial.calls["rename"]))
    assert any(statuses)


@pytest.mark.slow
@pytest.mark.parametrize(("call", "kind"), PAIRS)
@pytest.mark.parametrize("name", NAMES)
def test_every_call_that_fails_leaves_the_old_output_or_the_new_one(
    driver: Driver, every_case: dict[str, Case], place: Path, name: str, call: str, kind: str
) -> None:
    trial = Trial(driver, every_case[name], place)
    for number in range(1, trial.calls[call] + 1):
        trial.fail(call, kind, number)


def test_the_library_fails_the_call_that_it_is_told_to(
    driver: Driver, every_case: dict[str, Case], place: Path
) -> None:
    """Otherwise nothing here would be shown."""
    trial = Trial(driver, every_case["quantize to a file"], place)
    assert trial.calls["fsync"] == 2 and trial.calls["rename"] == 1
    assert trial.calls["pwrite"] > 10 and trial.calls["preadv"] > 10
    assert trial.fail("rename", "eio", 1) == 2 and trial.fail("rename", "eio", 2) == 0
    assert trial.fail("pwrite", "kill", 3) == -9


STORING = [("pwrite", kind, number) for kind in ("kill", "eio") for number in (1, 5, 11)]
STORING += [("fsync", kind, number) for kind in ("kill", "eio") for number in (1, 2)]
STORING += [("pwrite", "short", 5)]


@pytest.mark.parametrize(("call", "kind", "number"), STORING)
def test_a_loss_whose_storing_fails_is_whole_or_not_measured(
    driver: Driver, every_case: dict[str, Case], place: Path, call: str, kind: str, number: int
) -> None:
    """`measure --store` is the only command that changes a model file in place."""
    measured = every_case["measure"].words
    model, text = measured[1], measured[measured.index("--text") : measured.index("--run")]
    output = Path(tempfile.mkdtemp(dir=place)) / "m.gguf"
    assert driver.run(every_case["quantize to a file"].words, output)[0] == 0
    before = output.read_bytes()
    words = ["measure", "OUT", "--ref", model, "--floor-chunks", "0", "--store", *text]
    status, _ = driver.run(words, output, (call, kind, number))
    assert status in {"kill": (-9,), "short": (0,)}.get(kind, (2,))
    with open_checkpoint(output) as checkpoint:
        loss = read_proof(checkpoint).loss
        first = min(info.offset for info in checkpoint.tensors.values())
    assert output.read_bytes()[first:] == before[first:]
    # The check is the 11th value; the sync that may fail after it is the second one.
    assert (loss is not None) == (kind == "short" or (call, number) == ("fsync", 2))
    assert driver.run(words, output)[0] == 0
    with open_checkpoint(output) as checkpoint:
        assert read_proof(checkpoint).loss is not None
    assert [path.name for path in output.parent.iterdir()] == [output.name]
