"""The thread pool: when the system has no more threads, the results stay the same."""

import os
import subprocess
import sys

import pytest

from zeropoint import kernels

# A thread's stack has the size of RLIMIT_STACK at the start of the process: no room is left for it.
STACK_BYTES = 256 << 20
SCRIPT = """
import hashlib, resource, threading
import numpy as np
from zeropoint import kernels
from zeropoint.formats import FORMATS

rng = np.random.default_rng(1)
weights = rng.standard_normal((4096, 256), np.float32)

def digest(threads):
    blocks = kernels.encode(FORMATS["Q4_K"], weights, threads=threads)
    return hashlib.sha256(blocks).hexdigest()

alone = digest(1)
many = digest(FIRST)  # so many are there already
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
try:
    threading.Thread(target=print).start()
except RuntimeError:
    print("no thread")
print(alone == many == digest(8) == digest(8))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs RLIMIT_AS and /proc")
@pytest.mark.skipif(kernels.variant() == "numpy", reason="the extension is not built")
@pytest.mark.parametrize("first", [1, 2])
def test_without_more_threads_the_work_is_done_by_those_there_are(first: int) -> None:
    import resource

    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.replace("FIRST", str(first))],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (STACK_BYTES, STACK_BYTES)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["no", "thread", "True"], done.stderr
