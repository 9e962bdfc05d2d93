"""Runs command lines in forked children, one of whose system calls fails (see shim.c).

Reads one JSON object a line: {"words", "call", "kind", "number", "below"}, and answers each with
{"status", "calls"}: the exit status (or minus the signal), and how many calls of each kind there
were (null after a signal). It imports everything once, so that a case takes no start of Python.
"""

import ctypes
import json
import mmap
import os
import struct
import sys
from typing import Any

import zeropoint.calibration
import zeropoint.cli
import zeropoint.metrics.divergence.run
import zeropoint.models
import zeropoint.quantizers.export
import zeropoint.results.run_store

CALLS = ("pwrite", "preadv", "fsync", "rename", "unlink", "mkdir")


def run(shim: ctypes.CDLL, case: dict[str, Any]) -> dict[str, object]:
    """Run one command line in a child."""
    layout = f"{len(CALLS)}q"
    counted = mmap.mmap(-1, struct.calcsize(layout))
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            arguments = (case["call"].encode(), case["kind"].encode(), case["number"])
            shim.fault_arm(*arguments, case["below"].encode())
            status = zeropoint.cli.main(case["words"])
            struct.pack_into(layout, counted, 0, *(shim.fault_calls(c.encode()) for c in CALLS))
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = dict(zip(CALLS, struct.unpack_from(layout, counted, 0), strict=True))
    return {"status": status, "calls": calls if status >= 0 else None}


def main() -> None:
    """Answer until the standard input ends."""
    shim = ctypes.CDLL(sys.argv[1])
    shim.fault_arm.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_long, ctypes.c_char_p)
    shim.fault_calls.restype = ctypes.c_long
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run(shim, json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
