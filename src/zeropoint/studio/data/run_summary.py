"""What a run found, in a few words: for lists of runs and for the cards of finished jobs."""

from dataclasses import dataclass
from pathlib import Path

from zeropoint.errors import CheckpointError
from zeropoint.formatting import format_bytes, format_number
from zeropoint.results.divergence import LadderResult, MeasureResult
from zeropoint.results.drift import DriftResult
from zeropoint.results.quantize import QuantizeResult
from zeropoint.results.runs import Result, read_head, read_run
from zeropoint.results.tasks import AcrossResult, TasksResult
from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.page_data import PageData


@dataclass(frozen=True)
class RunSummary:
    """One run of a list: what it is about, and its result if it has one."""

    verb: str
    subject: str
    reference: str = ""  # name of the reference
    verdict: str = ""  # the verdict's word
    finding: str = ""  # one figure or sentence
    kl: float | None = None  # mean, nats per token
    finished: bool = False
    problem: str = ""  # why it cannot be read

    @property
    def shown(self) -> bool:
        """Whether the report shows runs of this kind."""
        return self.finished and self.verb in measure_runs.VERBS

    def as_page_data(self) -> PageData:
        """Return the result for the card of a job."""
        return {"verdict": self.verdict, "finding": self.finding, "kl": self.kl}


def summarize(path: Path) -> RunSummary:
    """Return the summary of a run, which may be unfinished or damaged."""
    verb = subject = ""
    try:
        head = read_head(path)
        verb, subject = head.verb, head.subject
        reference = head.inputs.reference.name if head.inputs.reference else ""
        if not head.folder.results:
            return RunSummary(verb, subject, reference, finding="not finished")
        if verb not in measure_runs.VERBS:
            return RunSummary(verb, subject, reference, finished=True)
        result = read_run(path).result
        verdict = result.verdict.word if isinstance(result, MeasureResult) else ""
        kl = result.kl.mean if isinstance(result, MeasureResult) else None
        return RunSummary(verb, subject, reference, verdict, _finding(result), kl, finished=True)
    except (CheckpointError, OSError) as error:
        return RunSummary(verb, subject, problem=str(error))


def _finding(result: Result) -> str:
    match result:
        case MeasureResult():
            ends = result.kl.ends
            low, high = (format_number(end, 3) for end in ends) if ends else ("", "")
            interval = f" ({low} … {high})" if ends else ""
            return f"KL {format_number(result.kl.mean, 3)} nats per token{interval}"
        case QuantizeResult():
            size = format_bytes(result.output_bytes)
            return f"{size}, {result.bits_per_weight:.2f} bits per weight"
        case LadderResult():
            return f"{len(result.levels)} levels"
        case TasksResult():
            scores = (f"{one.name} {one.right} of {one.tasks}" for one in result.models)
            return f"right: {', '.join(scores)}"
        case DriftResult():
            return f"{result.prompts} prompts continued"
        case AcrossResult():
            return f"{len(result.results)} models"
        case _:
            return ""
