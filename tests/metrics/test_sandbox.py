"""Code that a model wrote: what is right passes, and what does harm is contained."""

import os
from pathlib import Path

import pytest

from zeropoint.metrics.sandbox import BUSY, Limits, Ran, run_python

LIMITS = Limits(seconds=1, megabytes=256, folder_megabytes=4)


@pytest.fixture(scope="module", autouse=True)
def _contained() -> None:
    from zeropoint.errors import MeasurementError

    try:
        run_python("", "")
    except MeasurementError as error:
        pytest.skip(str(error))


def run(solution: str, tests: str = "") -> Ran:
    return run_python(solution, tests, LIMITS)


def test_right_code_passes_and_wrong_code_says_why() -> None:
    assert run("def f(x):\n    return x + 1", "assert f(1) == 2").passed
    wrong = run("def f(x):\n    return x", "assert f(1) == 2, 'f(1)'")
    assert (wrong.passed, wrong.reason) == (False, "AssertionError: f(1)")
    assert run("def f(:").reason.startswith("SyntaxError")
    assert run("import re, json, math, collections, dataclasses, itertools, functools").passed


def test_code_may_use_its_own_folder_and_threads() -> None:
    done = run(
        "import os, threading\nopen('a.txt', 'w').write('x')\nos.mkdir('d')\n"
        "t = threading.Thread(target=lambda: None); t.start(); t.join()",
        "assert open('a.txt').read() == 'x'; os.rename('a.txt', 'd/b'); os.unlink('d/b')",
    )
    assert done.passed, done.reason


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("while True: pass", "processor time"),
        ("import time; time.sleep(60)", "did not end"),
        ("x = [0] * 10**9", "MemoryError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("import sys; sys.exit(0)", "SystemExit"),
        ("import os; os._exit(0)", "ended before"),
        ("raise BaseException", "BaseException"),
        ("input()", "EOFError"),
        ("print('x' * 10**8); 1 / 0", "ZeroDivisionError"),
        ("import ctypes; ctypes.string_at(0)", "signal 11"),
        (
            'import os\nfor fd in range(3, 64):\n    try: os.write(fd, b\'{"refused": "x"}\')\n'
            "    except OSError: pass\nos._exit(0)",
            "ended before",
        ),
        ("class E(Exception):\n    def __str__(self): raise E\nraise E", "E"),
    ],
)
def test_code_that_does_not_end_well_is_told_as_such(code: str, why: str) -> None:
    done = run(code)
    assert not done.passed
    assert why in done.reason
    assert done.seconds < LIMITS.wall_seconds + BUSY * LIMITS.seconds + 5


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos.fork()",
        "import os\nwhile True: os.fork()",
        "import os\nos.execv('/bin/sh', ['sh'])",
        "import os\nos.posix_spawn('/bin/true', ['true'], {})",
        "import subprocess\nsubprocess.run(['true'])",
        "import multiprocessing as m\np = m.get_context('fork').Process(target=print); p.start()",
        "import os\nos.system('true') and 1 / 0",
        "import socket\nsocket.create_connection(('127.0.0.1', 9))",
        "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "import socket\nsocket.socketpair()[0].connect('/nothing')",
        "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
        "import resource, os\nresource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (9, 9))",
        "import os\nos.setuid(0)",
    ],
)
def test_code_reaches_no_other_process(code: str) -> None:
    done = run(code)
    assert not done.passed
    assert any(word in done.reason for word in ("ermi", "not allowed", "ZeroDivision"))


def test_code_writes_nowhere_else(tmp_path: Path) -> None:
    """Also as root, whom file modes do not bind."""
    target = tmp_path / "kept.txt"
    target.write_text("kept")
    before = target.stat()
    for code in (
        "open({!r}, 'w')",
        "open({!r}, 'a').write('x')",
        "import os; os.truncate({!r}, 0)",
        "import os; os.unlink({!r})",
        "import os; os.rename({!r}, 'mine')",
        "import os; os.chmod({!r}, 0)",
        "import os; os.utime({!r}, (0, 0))",
        "import os; os.mkdir({!r} + '.d')",
        "import os; os.symlink({!r}, 'link'); open('link', 'w')",
        "import os; os.link({!r}, 'link')",
        "import shutil; shutil.rmtree(__import__('os').path.dirname({!r}))",
    ):
        done = run(code.format(str(target)))
        assert not done.passed and any(w in done.reason for w in ("ermi", "cross-device")), code
    assert target.read_text() == "kept" and target.stat().st_mode == before.st_mode
    assert target.stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_code_reads_nothing_of_its_users(tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    assert "Permission" in run(f"open({str(secret)!r}).read()").reason
    os.environ["ZEROPOINT_TEST_SECRET"] = "secret"
    try:
        assert run("import os\nassert 'ZEROPOINT_TEST_SECRET' not in os.environ").passed
    finally:
        del os.environ["ZEROPOINT_TEST_SECRET"]


@pytest.mark.parametrize(
    "code",
    [
        "f = open('big', 'wb')\nwhile True: f.write(b'x' * 2**20)",
        "i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb').write(b'x' * 2**20)",
        "i = 0\nwhile True:\n    i += 1\n    open(f'f{i}', 'wb')",
        "import os\nwhile True:\n    os.mkdir('d')\n    os.chdir('d')",
        "import os\nos.mkdir('d', 0o300)\nopen('d/x', 'w')\nos.mkdir('d/e', 0)\n1 / 0",
    ],
)
def test_a_flood_of_files_is_ended_and_cleared_away(code: str, tmp_path: Path) -> None:
    import tempfile

    before = set(Path(tempfile.gettempdir()).glob("zeropoint-code-*"))
    done = run(code)
    assert not done.passed
    assert done.seconds < LIMITS.wall_seconds + BUSY * LIMITS.seconds + 5
    assert set(Path(tempfile.gettempdir()).glob("zeropoint-code-*")) <= before


def test_nobody_passes_by_answering_for_the_tests() -> None:
    """Whatever it writes where, without the word that only the tests' end has."""
    forged = (
        "import os\n"
        "for fd in range(3, 64):\n"
        '    try: os.write(fd, b\'{"nonce": "", "passed": true}\')\n'
        "    except OSError: pass\n"
        "os._exit(0)"
    )
    assert not run(forged, "assert False").passed


@pytest.mark.parametrize(
    "code",
    [
        "import builtins\nbuiltins.len = lambda x: 3",
        "import builtins\nbuiltins.exec = builtins.compile = lambda *a: compile('', '', 'exec')",
        "import builtins\nfor name in list(vars(builtins)): delattr(builtins, name)",
        "import json\ndumps = json.dumps\njson.dumps = lambda f: dumps({**f, 'passed': True})",
        "import __main__\n__main__.run_tests = lambda *a: None",
        "def f(): raise SystemExit(0)",
        "import unittest\ndef f(): unittest.main()",
    ],
)
def test_code_that_changes_what_python_is_changes_nothing_for_its_tests(code: str) -> None:
    done = run(code, "assert len([1]) == 1\nf()\nassert False")
    assert not done.passed


def test_code_finds_what_python_programs_find() -> None:
    """A module of its own, a loop of events, and tests that end by leaving."""
    done = run(
        "import asyncio, dataclasses, pickle\n@dataclasses.dataclass\nclass P:\n    x: int = 0\n"
        "async def g(): return await asyncio.sleep(0.001, 5)\ndef f(): return asyncio.run(g())",
        "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
        "        self.assertEqual(f(), 5)\n"
        "        self.assertEqual(pickle.loads(pickle.dumps(P(3))), P(3))\nunittest.main()",
    )
    assert done.passed, done.reason
    assert not run("", "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
                       "        self.fail()\nunittest.main()").passed  # fmt: skip
