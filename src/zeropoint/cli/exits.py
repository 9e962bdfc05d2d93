"""Exit status of a command, and the one sentence on stderr that explains a failure.

0    success, or the answer is yes  1    success, and the answer is no
2    failure: wrong usage, bad input, disk full, out of memory
70   a bug in zeropoint             130  interrupted (SIGINT or SIGTERM)
"""

import contextlib
import errno
import os
import signal
import sys
import traceback
from types import FrameType, TracebackType

import typer

from zeropoint.errors import InfeasibleBudget, ZeropointError, printable

MAX_MESSAGE_CHARACTERS = 299

DONE, NO, FAILED, BUG, INTERRUPTED = 0, 1, 2, 70, 130


class Terminated(KeyboardInterrupt):
    """SIGTERM arrived. It unwinds the stack as Ctrl-C does, so that temporary files are removed."""


def raise_terminated(_number: int, _frame: FrameType | None) -> None:
    """Raise Terminated in the main thread, as a signal handler."""
    raise Terminated


class Exits:
    """Catches every exception that ends its block, prints one sentence, and holds the exit status.

    Use it as a context manager; afterwards `code` is the status. No exception is hidden: each
    one is printed and has a status.
    """

    code = DONE

    def __enter__(self) -> "Exits":
        open_missing_streams()
        for stream in (sys.stdout, sys.stderr):  # print "?" on a terminal without UTF-8
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")
        with contextlib.suppress(ValueError):  # only the main thread may set a handler
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
        except OSError as late:  # such as a full disk behind `> file`
            self.code = report(late)
            silence_stdout()
        return True


def open_missing_streams() -> None:
    """Replace a standard stream that the caller closed (`>&-`) with the null device."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))


def report(error: BaseException) -> int:
    """Print what `error` means on stderr, and return its exit status."""
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
            return report_input(error)
        case MemoryError():
            say("error: out of memory; `zeropoint doctor` shows what this machine has")
        case OSError():
            say(f"error: {in_words(error)}")
        case _:
            return report_bug(error)
    return FAILED


def report_input(error: ZeropointError) -> int:
    """Print what is wrong with the input; no small enough file is a negative answer."""
    if isinstance(error, InfeasibleBudget):
        say(str(error))
        return NO
    say(f"error: {error}")
    return FAILED


def report_usage(error: typer.TyperException) -> int:
    """Print the error of the command line, and the help command that explains it."""
    context = getattr(error, "ctx", None)
    help_of = f"; see `{context.command_path} --help`" if context else ""
    say(f"error: {error.format_message().rstrip('.')}{help_of}")
    return FAILED


def report_bug(error: BaseException) -> int:
    """Print an exception that only a bug in zeropoint can raise."""
    if os.environ.get("ZEROPOINT_DEBUG"):
        traceback.print_exception(error)
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" at {os.path.basename(last[0].filename)}:{last[0].lineno}" if last else ""
    say(f"bug: {type(error).__name__}{where}: {error}")
    say(
        "This is a bug in zeropoint, not in your file. Please report it with the traceback that"
        " `ZEROPOINT_DEBUG=1` adds to the same command."
    )
    return BUG


def in_words(error: OSError) -> str:
    """Return an operating system's error as one sentence that names the file."""
    where = f"{error.filename}: " if error.filename is not None else ""
    hints = {
        errno.ENOENT: "there is no such file",
        errno.EACCES: "permission denied",
        errno.EISDIR: "this is a directory; a file is expected",
        errno.ENOSPC: "the disk is full; the output was not written, and an older one is unharmed",
        errno.EDQUOT: "the disk quota is used up; the output was not written",
        errno.EFBIG: "the file exceeds the size limit of this process; the output was not written",
        errno.EROFS: "this file system is read-only",
    }
    reason = hints.get(error.errno or 0) or (error.strerror or str(error))
    return where + reason


def say(text: str) -> None:
    """Print one message on stderr: a line of at most MAX_MESSAGE_CHARACTERS characters.

    A longer message is cut in the middle: its beginning names the file, and its end the reason.
    """
    text = printable(text, MAX_MESSAGE_CHARACTERS)
    if text.startswith(("error", "bug")) and sys.stderr.isatty() and not os.environ.get("NO_COLOR"):
        text = typer.style(text, fg="red")
    with contextlib.suppress(BrokenPipeError):
        print(text, file=sys.stderr, flush=True)


def silence_stdout() -> None:
    """Replace stdout with the null device, because the program that read it has exited."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
