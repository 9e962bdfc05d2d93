"""Runs command lines in forked children, one of whose system calls fails (see shim.c).

Reads one JSON object a line: {"words", "call", "kind", "number", "below"}, and answers each with
{"status", "calls"}: the exit status (or minus the signal), and how many such calls there were
(null after a signal). It imports everything once, so that a case takes no start of Python.
"""

import ctypes
import json
import mmap
import os
import struct
import sys

import zeropoint.calibration
import zeropoint.checkpoints.runs
import zeropoint.cli
import zeropoint.metrics.measuring
import zeropoint.models
import zeropoint.quantizers.export


def run(shim: ctypes.CDLL, case: dict) -> dict:
    """Run one command line in a child."""
    counted = mmap.mmap(-1, 8)
    struct.pack_into("q", counted, 0, -1)
    child = os.fork()
    if child == 0:
        status = 70
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 1)
            arguments = (case["call"].encode(), case["kind"].encode(), case["number"])
            shim.fault_arm(*arguments, case["below"].encode())
            status = zeropoint.cli.main(case["words"])
            struct.pack_into("q", counted, 0, shim.fault_calls())
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (calls,) = struct.unpack_from("q", counted, 0)
    return {"status": status, "calls": None if calls < 0 else calls}


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
