"""Nothing that a file asks for costs more than 64 MiB + 4 × its header, or a few seconds."""

import os
import subprocess
import sys

import pytest

from support.malformed import bombs

REFUSED = {  # the others are large, and valid
    "40 bytes that ask for 2^62",
    "a million keys",
    "a million tensors",
    "more plain tensors than may be",
    "20 MB of brackets",
    "20 MB of empty arrays",
    "20 MB of numbers",
    "100 MB of spaces",
    "20 MB of escapes in a name",
    "an index of 150,000 tensors",  # its file is not there
    "an index with 20 MB of metadata",
}


@pytest.fixture(scope="module")
def opener():
    """Return what opens a file in a process of its own and says what that took."""
    with subprocess.Popen(
        [sys.executable, "-m", "support.malformed.bombs"],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def opened(path):
            process.stdin.write(f"{path}\n")
            process.stdin.flush()
            return process.stdout.readline().rstrip("\n").split(" ", 2)

        yield opened


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.parametrize("name", bombs.BOMBS)
def test_memory_and_time_are_bounded_by_the_header(name, opener, tmp_path):
    path, header = bombs.write(name, tmp_path)
    peak, seconds, result = opener(path)
    assert int(peak) <= 64 * 2**20 + 4 * header
    # Processor time, not the clock's: other work on the machine is not the reader's doing.
    # A valid file as large as may be takes over a second on a slow one; the refused take none.
    assert float(seconds) < (2 if name in REFUSED else 5)
    assert result.startswith("refused" if name in REFUSED else "opened"), result
