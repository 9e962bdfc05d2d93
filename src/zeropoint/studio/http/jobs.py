"""Jobs of the studio: verbs of the command line, each in a separate process, one at a time.

A job is `python -m zeropoint VERB … --progress json`: what it does, writes and leaves behind when
it is cancelled is the same as for that command in a terminal. The signal is SIGTERM, which
unwinds like Ctrl-C. A shell starts background processes with SIGINT ignored, and jobs inherit that.
The list of jobs is kept (job_list.py), so that it survives a restart of the studio.
"""

import atexit
import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from zeropoint.studio.data.run_summary import summarize

SHOWN_OUTPUT_LINES = 12  # last lines of a job's output
KEPT_OUTPUT_LINES = 200  # lines of a job's output in memory
KEPT_JOBS = 50  # jobs

# "interrupted": the studio was closed before the end of the job.
JobState = Literal["waiting", "running", "done", "no", "failed", "cancelled", "interrupted"]
STATES_BY_EXIT_STATUS: Mapping[int, JobState] = {0: "done", 1: "no", 130: "cancelled"}


@dataclass(frozen=True)
class JobCommand:
    """Command of a job: the arguments of a command line."""

    verb: str
    words: Sequence[str]  # after the verb
    run: str  # the id of the run folder that it makes
    asked: Mapping[str, Any] = field(default_factory=dict)  # what makes the same command again
    see: Mapping[str, str] = field(default_factory=dict)  # addresses of what it found, their names
    resumes: bool = True  # the same words go on from where they were
    title: str = ""  # of its form
    folder: str = ""  # the run folder


@dataclass
class StudioJob:
    """One command, its progress, and the last lines of its output."""

    id: int
    command: JobCommand
    state: JobState = "waiting"
    step: str = ""  # of several, as the command calls it
    done: float = 0.0  # share of that step
    seconds_left: float | None = None
    started: float | None = None  # seconds since 1970
    ended: float | None = None
    output_lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_OUTPUT_LINES))
    process: "subprocess.Popen[str] | None" = None
    unwanted: bool = False
    result: Mapping[str, Any] = field(default_factory=dict)  # verdict and finding of its run

    @property
    def error(self) -> str:
        """Return why the job failed, in the words of the command line; "" if it did not fail."""
        if self.state != "failed":
            return ""
        lines = [line.strip() for line in self.output_lines if line.strip()]
        told = [line for line in lines if line.startswith("error:")] or lines[-1:]
        reason = told[-1].removeprefix("error:").strip() if told else "The command gave no reason."
        return reason[:1].upper() + reason[1:]

    def as_page_data(self) -> dict[str, Any]:
        """Return the job as data of the pages."""
        one = self.command
        return {
            "id": self.id, "verb": one.verb, "run": one.run, "state": self.state,
            "step": self.step, "done": self.done, "seconds_left": self.seconds_left,
            "said": list(self.output_lines)[-SHOWN_OUTPUT_LINES:], "error": self.error,
            "title": one.title, "result": self.result, "folder": one.folder,
            "cancelling": self.unwanted and self.state == "running",
            "command": " ".join(["zeropoint", one.verb, *(Path(w).name if "/" in w else w
                                                          for w in one.words)]),
            "asked": one.asked, "see": one.see, "resumes": one.resumes,
            "seconds": None if self.started is None else (self.ended or time.time()) - self.started,
        }  # fmt: skip


class JobQueue:
    """The queue of this studio's jobs, which end when the studio stops.

    `earlier` are the jobs of the studio's last time, and `keep` is called with all jobs when one
    changes its state.
    """

    def __init__(
        self,
        ended: Callable[[], None] = lambda: None,
        *,
        earlier: Sequence[StudioJob] = (),
        keep: Callable[[Sequence[StudioJob]], None] = lambda jobs: None,
    ) -> None:
        self._ended = ended  # called when a job may have written something
        self._keep = keep
        self._closing = False
        self._jobs: dict[int, StudioJob] = {job.id: job for job in earlier}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def start(self, command: JobCommand) -> StudioJob:
        """Add a job to the queue. Raises KeyError if an unfinished job writes the same run."""
        with self._changed:
            if any(j.ended is None and j.command.run == command.run for j in self._jobs.values()):
                raise KeyError(command.run)
            job = StudioJob(max(self._jobs, default=0) + 1, command)
            self._jobs[job.id] = job
            for old in [j.id for j in self._jobs.values() if j.ended is not None][:-KEPT_JOBS]:
                del self._jobs[old]
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, daemon=True)
                self._thread.start()
                atexit.register(self.end)
            self._changed.notify()
        self._keep(self.listed())
        return job

    def listed(self) -> list[StudioJob]:
        """Return all jobs, the latest first."""
        return sorted(self._jobs.values(), key=lambda job: -job.id)

    def cancel(self, id: int) -> StudioJob:
        """Interrupt a job, or remove it from the queue. Raises KeyError for an unknown id."""
        job = self._jobs[id]
        with self._changed:
            job.unwanted = True
            if job.state == "waiting":
                job.state = "interrupted" if self._closing else "cancelled"
                job.ended = time.time()
            elif job.process is not None and job.state == "running":
                job.process.terminate()
        self._keep(self.listed())
        return job

    def end(self) -> None:
        """Interrupt the running job, and wait briefly for its end."""
        self._closing = True
        for job in self.listed():
            if job.ended is not None:
                continue
            self.cancel(job.id)
            if job.process is not None and job.process.poll() is None:
                try:
                    job.process.wait(10)
                except subprocess.TimeoutExpired:
                    job.process.kill()
        self._keep(self.listed())

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: any(j.state == "waiting" for j in self.listed()))
                job = next(j for j in reversed(self.listed()) if j.state == "waiting")
                job.state, job.started = "running", time.time()
                job.process = subprocess.Popen(
                    [sys.executable, "-m", "zeropoint", job.command.verb, *job.command.words,
                     "--progress", "json"],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                    text=True, errors="replace", start_new_session=True,
                )  # fmt: skip
            self._keep(self.listed())
            assert job.process.stdout is not None
            self._follow(job, job.process.stdout)
            code = job.process.wait()
            self._ended()
            with self._changed:
                job.state = STATES_BY_EXIT_STATUS.get(code, "failed")
                if job.unwanted and job.state != "done":
                    # interrupted before it could say so, it says 1
                    job.state = "interrupted" if self._closing else "cancelled"
                if job.state in ("done", "no"):
                    job.result = summarize(Path(job.command.folder)).as_page_data()
                job.done, job.ended = (1.0 if job.state == "done" else job.done), time.time()
                job.seconds_left = None
            self._keep(self.listed())

    @staticmethod
    def _follow(job: StudioJob, lines: IO[str]) -> None:
        for line in lines:
            record = _record(line)
            if record is None:
                job.output_lines.append(line.rstrip()[:500])
                continue
            job.step, total = str(record.get("step", "")), record.get("total") or 0
            job.done = min(record["done"] / total, 1.0) if total else 0.0
            job.seconds_left = record.get("seconds_left")


def _record(line: str) -> dict[str, Any] | None:
    """Return a record of --progress json, or None for any other line."""
    if not line.startswith("{"):
        return None
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) and isinstance(record.get("done"), int) else None
