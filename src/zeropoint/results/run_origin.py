"""When, where and how a run was made: for the head of a report. Nothing compares it."""

import shlex
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from zeropoint._version import __version__
from zeropoint.kernels.machine import this_machine
from zeropoint.results.schema import Record


@dataclass(frozen=True)
class RunOrigin(Record):
    """The circumstances in which a run was begun."""

    #: Local time, as 2026-11-29 10:45.
    date: str = ""
    #: Version of zeropoint.
    version: str = ""
    #: Processor, and number of threads.
    machine: str = ""
    #: The command line, with files by name only; empty for a call from Python.
    command: str = ""


def origin_now() -> RunOrigin:
    """Return the circumstances of this process."""
    machine = this_machine()
    return RunOrigin(
        date=time.strftime("%Y-%m-%d %H:%M"),
        version=__version__,
        machine=f"{machine.processor}, {machine.cores} threads",
        command=_command(sys.argv),
    )


def _command(words: list[str]) -> str:
    """Return a command line of zeropoint without folders, which tell more than a reader needs.

    >>> _command(["/usr/bin/zeropoint", "measure", "models/a.gguf", "-q"])
    'zeropoint measure a.gguf -q'
    >>> _command(["/usr/bin/pytest", "tests"])
    ''
    """
    program = Path(words[0]) if words else Path()
    if program.name == "__main__.py":
        program = program.parent
    if program.name != "zeropoint":
        return ""
    named = [Path(word).name or word if "/" in word else word for word in words[1:]]
    return shlex.join(["zeropoint", *named])
