"""A finished run: its verb, inputs and typed result. The only reader of a run.json."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, TypeVar

from zeropoint.errors import CheckpointError, printable
from zeropoint.results.allocation import SearchResult
from zeropoint.results.bench import BenchResult
from zeropoint.results.divergence import LadderResult, MeasureResult
from zeropoint.results.drift import DriftResult
from zeropoint.results.model_identity import ModelIdentity
from zeropoint.results.quantize import QuantizeResult
from zeropoint.results.run_store import RunFolder
from zeropoint.results.schema import UNKNOWN_NUMBER, Record
from zeropoint.results.tasks import AcrossResult, HarnessResult, TasksResult
from zeropoint.results.train import TrainResult

Result: TypeAlias = (
    MeasureResult
    | LadderResult
    | QuantizeResult
    | DriftResult
    | TasksResult
    | HarnessResult
    | AcrossResult
    | BenchResult
    | SearchResult
    | TrainResult
)
RESULTS: Mapping[str, type[Result]] = {
    "measure": MeasureResult,
    "ladder": LadderResult,
    "quantize": QuantizeResult,
    "drift": DriftResult,
    "tasks": TasksResult,
    "lm-eval": HarnessResult,
    "across": AcrossResult,
    "bench": BenchResult,
    "search": SearchResult,
    "train": TrainResult,
}
R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class TextInput(Record):
    """The text of a run."""

    #: SHA-256 of the whole text.
    corpus: str = ""
    #: Whether it is the mix that comes with zeropoint.
    built_in: bool = False


@dataclass(frozen=True, kw_only=True)
class RunInputs(Record):
    """Inputs of a run. Which of the fields are set depends on the verb."""

    reference: ModelIdentity | None = None
    quant: ModelIdentity | None = None
    #: Of `tasks` and `compare` without a reference; the first one is the baseline.
    models: tuple[ModelIdentity, ...] = ()
    text: TextInput | None = None
    #: SHA-256 of the prompts.
    prompts: str | None = None
    #: SHA-256 of the tasks.
    tasks: str | None = None
    #: Names of the files that were quantized, and the SHA-256 of each.
    source: tuple[str, ...] = ()
    source_sha256: tuple[str, ...] = ()
    #: Name of the file with the importance.
    imatrix: str | None = None


@dataclass(frozen=True, kw_only=True)
class RunSettings(Record):
    """Settings of a run that readers need. Which of the fields are set depends on the verb."""

    #: Tokens of a chunk.
    context: int | None = None
    #: Of sampled texts.
    temperature: float = UNKNOWN_NUMBER
    #: Ordered rules, pattern and format, that give the same formats again.
    recipe: str | None = None


@dataclass(frozen=True)
class RunHead:
    """Verb and inputs of a run."""

    path: Path
    verb: str
    inputs: RunInputs
    settings: RunSettings
    folder: RunFolder = field(repr=False)

    @property
    def subject(self) -> str:
        """The names of what was quantized, measured or compared; empty if the run names none."""
        inputs = self.inputs
        if inputs.quant:
            return inputs.quant.name
        if inputs.reference:
            return inputs.reference.name
        return ", ".join([side.name for side in inputs.models] or inputs.source)

    @property
    def quant(self) -> ModelIdentity:
        """The quantized model. Raises CheckpointError if the run names none."""
        return self._named("quant", self.inputs.quant)

    @property
    def reference(self) -> ModelIdentity:
        """The reference. Raises CheckpointError if the run names none."""
        return self._named("reference", self.inputs.reference)

    def _named(self, what: str, side: ModelIdentity | None) -> ModelIdentity:
        if side is None:
            raise CheckpointError(self.path / "run.json", f"names no {what} among its inputs")
        return side


@dataclass(frozen=True)
class Run(RunHead):
    """A run that is finished, or far enough to be shown."""

    result: Result

    def result_as(self, kind: type[R]) -> R:
        """Return the result. Raises CheckpointError if the run's verb has results of another kind.

        Use it if the verb is known: `run.result_as(MeasureResult).kl.mean`.
        """
        if not isinstance(self.result, kind):
            raise CheckpointError(self.path / "run.json", f"is a run of {self.verb}")
        return self.result


def read_head(path: Path) -> RunHead:
    """Read the verb and the inputs of a run, finished or not.

    Raises CheckpointError for a folder that is not a run, and for a run.json that is damaged.
    """
    folder = RunFolder.open(path)
    verb, head = str(folder.identity.get("verb")), path / "run.json"
    inputs, settings = (folder.identity.get(key) for key in ("inputs", "settings"))
    if not isinstance(inputs, dict) or not isinstance(settings, dict):
        raise CheckpointError(head, "has no inputs and settings")
    if verb == "bench":
        inputs = {}  # what it timed is in its result
    return RunHead(
        path,
        verb,
        RunInputs.from_json(inputs, head, "inputs"),
        RunSettings.from_json(settings, head, "settings"),
        folder,
    )


def read_run(path: Path) -> Run:
    """Read a finished run.

    Raises CheckpointError for a folder that is not a run, a run that has no results yet, a verb
    without typed results, and for a run.json that is damaged.
    """
    folder = RunFolder.open(path)
    verb, results = str(folder.identity.get("verb")), folder.results
    kind = RESULTS.get(verb)
    if kind is None:
        raise CheckpointError(
            path, f"is a run of {printable(verb)!r}, which has no results to show"
        )
    if not results:
        raise CheckpointError(path, "is not finished; run the same command again to resume it")
    if verb == "tasks" and "harness" in results:  # as early versions called it
        kind = HarnessResult
    head = read_head(path)
    return Run(**vars(head), result=kind.from_json(results, path / "run.json", "results"))


def finished_runs(folders: Iterable[Path], depth: int = 4) -> list[Run]:
    """Return the finished runs in these folders and `depth` folders below, the oldest first.

    Folders that are not runs, and damaged or unfinished runs, are left out.
    """
    paths = {path for folder in folders for path in _heads(folder, depth)}
    found = []
    for path in sorted(paths, key=_changed):
        with suppress(CheckpointError):
            found.append(read_run(path.parent))
    return found


def _heads(folder: Path, depth: int) -> Iterator[Path]:
    """Yield the run.json of a folder or of those in it."""
    if (folder / "run.json").is_file():
        yield folder / "run.json"
    elif depth and folder.is_dir():
        for inner in folder.iterdir():
            if inner.is_dir() and not inner.is_symlink():
                yield from _heads(inner, depth - 1)


def _changed(path: Path) -> tuple[int, str]:
    try:
        return path.stat().st_mtime_ns, str(path)
    except OSError:
        return 0, str(path)


def results_of_type(runs: Sequence[Run], kind: type[R]) -> list[tuple[Run, R]]:
    """Return the runs whose results are of this kind, each with its result."""
    return [(run, run.result) for run in runs if isinstance(run.result, kind)]
