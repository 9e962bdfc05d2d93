"""How a run ends: the exit code, and one sentence on stderr if it did not go well.

0    done, or yes                   1    done, and the answer is no
2    could not do it: usage, bad input, disk full, out of memory
70   a bug of ours                  130  interrupted (SIGINT or SIGTERM)
"""

import contextlib
import errno
import os
import signal
import sys
import traceback
from types import FrameType, TracebackType

import typer

from zeropoint.errors import ZeropointError, printable

MESSAGE = 299  # characters

DONE, NO, FAILED, BUG, INTERRUPTED = 0, 1, 2, 70, 130


class Terminated(KeyboardInterrupt):
    """SIGTERM: unwinds like Ctrl-C, so that a temporary file is removed."""


def raise_terminated(_number: int, _frame: FrameType | None) -> None:
    """Turn the signal into an exception of the main thread."""
    raise Terminated


class Exits:
    """Catches whatever ends the block, says it in one sentence and keeps the code for it.

    A context manager and not `except Exception`: it sees every exception and hides none, because
    each of them is printed and has its exit code.
    """

    code = DONE

    def __enter__(self) -> "Exits":
        open_missing_streams()
        for stream in (sys.stdout, sys.stderr):  # a terminal without UTF-8 gets "?", no traceback
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        with contextlib.suppress(ValueError):  # not the main thread: no signals to set
            signal.signal(signal.SIGTERM, raise_terminated)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if error is not None:
            self.code = report(error)
        try:
            sys.stdout.flush()
        except BrokenPipeError:
            silence_stdout()
        except OSError as late:  # the disk behind `> file` is full
            self.code = report(late)
            silence_stdout()
        return True


def open_missing_streams() -> None:
    """Replace a standard stream that the caller closed (`>&-`) by one that leads nowhere."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def report(error: BaseException) -> int:
    """Say on stderr what `error` means, and return its exit code."""
    match error:
        case typer.Exit():
            return error.exit_code
        case SystemExit() if isinstance(error.__context__, BrokenPipeError):  # raised by rich
            return DONE
        case SystemExit():
            return error.code if isinstance(error.code, int) else FAILED
        case BrokenPipeError():
            silence_stdout()
            return DONE
        case KeyboardInterrupt() | typer.Abort():
            say("interrupted; no existing file was changed")
            return INTERRUPTED
        case typer.TyperException():
            return report_usage(error)
        case ZeropointError():
            say(f"error: {error}")
        case MemoryError():
            say("error: out of memory; `zeropoint doctor` shows what this machine has")
        case OSError():
            say(f"error: {in_words(error)}")
        case _:
            return report_bug(error)
    return FAILED


def report_usage(error: typer.TyperException) -> int:
    """Report wrong words on the command line: what is wrong, and where to read what is right."""
    context = getattr(error, "ctx", None)
    help_of = f"; see `{context.command_path} --help`" if context else ""
    say(f"error: {error.format_message().rstrip('.')}{help_of}")
    return FAILED


def report_bug(error: BaseException) -> int:
    """Report an exception that only a bug of ours can raise."""
    if os.environ.get("ZEROPOINT_DEBUG"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {os.path.basename(last[0].filename)}:{last[0].lineno}" if last else ""
    say(f"bug: {type(error).__name__}{where}: {error}")
    say(
        "This is a bug of zeropoint, not of your file. Please report it with what"
        " `ZEROPOINT_DEBUG=1` adds to the same command."
    )
    return BUG


def in_words(error: OSError) -> str:
    """Say an operating system's error as one sentence with the file in it."""
    where = f"{error.filename}: " if error.filename is not None else ""
    hints = {
        errno.ENOENT: "there is no such file",
        errno.EACCES: "permission denied",
        errno.EISDIR: "this is a directory; a file is expected",
        errno.ENOSPC: "the disk is full; the output was not written, and an older one is unharmed",
        errno.EDQUOT: "the disk quota is used up; the output was not written",
        errno.EFBIG: "a file may not grow this large here; the output was not written",
        errno.EROFS: "this file system is read-only",
    }
    reason = hints.get(error.errno or 0) or (error.strerror or str(error))
    return where + reason


def say(text: str) -> None:
    """Write one message to stderr: a line of printable characters, at most `MESSAGE` of them.

    A longer message keeps its beginning, which names the file, and its end, which has the reason.
    """
    with contextlib.suppress(BrokenPipeError):
        print(printable(text, MESSAGE), file=sys.stderr, flush=True)


def silence_stdout() -> None:
    """Point stdout at nothing: whoever read it has gone, and nobody needs to hear of it."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
