"""Run something in a forked process: it may be killed, and its faults stay its own."""

import os
import traceback
import warnings
from collections.abc import Callable

from zeropoint.errors import ZeropointError

REFUSED, FAILED = 2, 70  # exit statuses, as the command line has them


def start_child(action: Callable[[], object]) -> int:
    """Begin in a forked process; return its id. It exits with 0, or 2 after a ZeropointError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 3.12 warns of forks beside threads
        child = os.fork()
    if child == 0:
        status = FAILED
        try:
            action()
            status = 0
        except ZeropointError:
            status = REFUSED
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(status)
    return child


def run_child(action: Callable[[], object]) -> int:
    """Run in a forked process; return its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(start_child(action), 0)[1])
