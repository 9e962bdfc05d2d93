"""The jobs of a folder, kept in the cache directory: they are listed after a restart of the studio.

A kept job is shown, and never run: to resume it, the page sends its form again, which is checked
like any other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from zeropoint.cache import load_record, save_record
from zeropoint.studio.http.jobs import SHOWN_OUTPUT_LINES, JobCommand, StudioJob

UNFINISHED = ("waiting", "running")


class JobList:
    """The kept jobs of one folder, in the cache file NAME."""

    def __init__(self, name: str) -> None:
        self.name = name

    def load(self) -> list[StudioJob]:
        """Return the kept jobs; unfinished ones are interrupted. A damaged file has no jobs."""
        rows = load_record(self.name)
        try:
            return [_job(row) for row in rows] if isinstance(rows, list) else []
        except (KeyError, TypeError, ValueError):
            return []

    def save(self, jobs: Sequence[StudioJob]) -> None:
        """Replace the kept jobs."""
        save_record(self.name, [_row(job) for job in jobs])


def _row(job: StudioJob) -> dict[str, Any]:
    one = job.command
    return {
        "id": job.id, "verb": one.verb, "words": list(one.words), "run": one.run,
        "asked": dict(one.asked), "see": dict(one.see), "resumes": one.resumes, "title": one.title,
        "folder": one.folder, "state": job.state, "step": job.step, "done": job.done,
        "started": job.started, "ended": job.ended,
        "output": list(job.output_lines)[-SHOWN_OUTPUT_LINES:],
        "result": dict(job.result),
    }  # fmt: skip


def _job(row: Mapping[str, Any]) -> StudioJob:
    command = JobCommand(
        str(row["verb"]), [str(word) for word in row["words"]], str(row["run"]),
        asked=dict(row["asked"]), see=dict(row["see"]), resumes=bool(row["resumes"]),
        title=str(row["title"]), folder=str(row["folder"]),
    )  # fmt: skip
    unfinished = row["state"] in UNFINISHED
    job = StudioJob(
        int(row["id"]),
        command,
        state="interrupted" if unfinished else row["state"],
        step=str(row["step"]),
        done=float(row["done"]),
        started=row["started"],
        ended=(row["ended"] or row["started"] or 0.0),
        result=dict(row["result"]),
    )
    job.output_lines.extend(str(line) for line in row["output"])
    return job
