"""`tasks --lm-eval`: tasks of lm-evaluation-harness on our models."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zeropoint.cli.output import Output
from zeropoint.errors import MeasurementError

if TYPE_CHECKING:
    from zeropoint.results.tasks import HarnessScores


def run_harness(
    out: Output,
    models: Sequence[Path],
    names: Sequence[str],
    include: Path | None,
    sizes: tuple[int | None, int],
    how: tuple[str, int | None],
    run: Path | None,
) -> None:
    """Run the harness's tasks on every model, one after the other, and print its own scores.

    With a run folder, a model whose scores are in it is not run again.
    """
    if find_spec("lm_eval") is None:
        raise MeasurementError(
            'lm-evaluation-harness is not installed; pip install "zeropoint[lm-eval]" adds it'
        )
    from zeropoint.checkpoints import open_model
    from zeropoint.cli.generation import as_mode
    from zeropoint.cli.output import plain
    from zeropoint.metrics.divergence.compatibility import describe
    from zeropoint.metrics.peers.lm_eval import evaluate
    from zeropoint.models import load_model
    from zeropoint.results.run_store import RunFolder
    from zeropoint.results.tasks import HarnessResult, HarnessScores

    sources = [open_model(path) for path in models]
    sides = [describe(source) for source in sources]
    folder = None
    if run:
        inputs = {"models": [side.to_json() for side in sides], "harness": list(names),
                  "include": None if include is None else str(include)}  # fmt: skip
        settings = {"limit": sizes[0], "tokens": sizes[1], "mode": how[0]}
        folder = RunFolder.start(run, "lm-eval", inputs, settings)
    found: list[HarnessScores] = []
    for place, (source, side) in enumerate(zip(sources, sides, strict=True)):
        if folder and (folder.path / f"harness-{place}.json").exists():
            results: Any = folder.load_table(f"harness-{place}")
        else:
            model = load_model(source, mode=as_mode(how[0]), threads=how[1])
            results = plain(
                evaluate(model, names, include=include, limit=sizes[0], tokens=sizes[1])
            )
            if folder:
                folder.save_table(f"harness-{place}", results)
        found.append(HarnessScores(side.name, side.file_bytes, results))
    told = HarnessResult("lm-evaluation-harness", tuple(found))
    if folder:
        folder.finish(told)
    show(out, found)
    out.finish("tasks", told.to_json())


def show(out: Output, found: "Sequence[HarnessScores]") -> None:
    """Print one line per task and figure, a column per model."""
    figures = found[0].results
    rows = []
    for task, values in figures.items():
        for key, value in values.items():
            name, _, _ = key.partition(",")
            if isinstance(value, float | int) and not name.endswith("_stderr"):
                scores = [one.results[task][key] for one in found]
                rows.append((task, name, *(f"{score:.4f}" for score in scores)))
    out.say()
    out.table(("Task", "Figure", *(f">{one.name}" for one in found)), rows)
