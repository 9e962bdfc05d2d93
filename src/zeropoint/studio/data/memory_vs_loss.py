"""Larger and smaller models: the memory and the quality of each, read from runs.

Between models nats per byte of the same text, tasks and chains may be compared (`compare` without
--ref, `tasks`). KL is against a model's own reference: it ranks the formats of one model only
(`measure`, `ladder`). Each such scale is a separate series; scales are never mixed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from zeropoint.plans.memory.cache_shape import ModelShape
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.runs import Run
from zeropoint.results.tasks import AcrossResult, ModelCompared, ModelTasks, TasksResult
from zeropoint.studio.data.page_data import PageData

COMPARABLE_BETWEEN_MODELS = "These may be compared between models: all of them did the same."
COMPARABLE_WITHIN_MODEL = (
    "KL is against the model's own reference, so it ranks the formats of this model and tells "
    "nothing about another model. For that: zeropoint compare A B --run DIR, or tasks."
)
Find = Callable[[str, int], ModelShape | None]  # by a file's name and size
Row = ModelCompared | ModelTasks


def series_of(runs: Iterable[Run], find: Find) -> list[PageData]:
    """Return the quality scales of runs: those between models first, the newest run first.

    A point has `name`, `line` (its model), `bits`, `file_bytes`, `cache` (what its layers
    store per position), `mean`, `low`, `high` of the figure, and `group`: equal letters where a
    paired test found no difference. `find` returns the shape of a file if a run lacks it.
    """
    between: list[PageData] = []
    within: dict[tuple[object, ...], PageData] = {}
    for run in runs:
        if isinstance(run.result, AcrossResult):
            between = [*compare_scales(run, run.result, find), *between]
        elif isinstance(run.result, TasksResult):
            between = [*task_scales(run, run.result, find), *between]
        elif isinstance(run.result, MeasureResult):
            _add_measured(within, run, run.result, find)
    several = [series for series in within.values() if len(series["points"]) > 1]
    return [*between, *reversed(several)]


def scales_of(runs: Iterable[Run]) -> list[PageData]:
    """Return the quality scales on which runs compare models, read from the runs alone."""
    return [scale for scale in series_of(runs, lambda *_: None) if scale["between"]]


def compare_scales(run: Run, result: AcrossResult, find: Find) -> Iterator[PageData]:
    """Yield the quality scales of one run of `compare` without --ref."""
    rows = result.results
    yield from _scale(run, "nats", [(row, row.text.nats_per_byte) for row in rows], find)
    asked = [(row, row.tasks.accuracy) for row in rows if row.tasks]
    yield from _scale(run, "tasks", asked, find)
    together = [(row, row.chains.together) for row in rows if row.chains]
    last = [(row, pair.quant.accuracy[-1]) for row, pair in together if pair]
    yield from _scale(run, "chains", last, find)


def task_scales(run: Run, result: TasksResult, find: Find) -> Iterator[PageData]:
    """Yield the scale of one run of `tasks`."""
    yield from _scale(run, "tasks", [(row, row.accuracy) for row in result.models], find)


TITLES = {
    "nats": "nats per byte of the same text",
    "tasks": "share of the same tasks done rightly",
    "chains": "share of chains right after their last step",
}


def _scale(
    run: Run, metric: str, reached: Sequence[tuple[Row, Interval]], find: Find
) -> Iterator[PageData]:
    """Yield the scale of a figure that several models of a run have."""
    points = [
        _point(row, figure, run, find) | {"group": _letters(row) if metric == "nats" else ""}
        for row, figure in reached
        if not figure.empty
    ]
    if len(points) > 1:
        name = run.path.name
        yield {"id": f"{metric}:{name}", "run": name, "metric": metric, "title": TITLES[metric],
               "less": metric == "nats", "between": True, "told": COMPARABLE_BETWEEN_MODELS,
               "points": points}  # fmt: skip


def _letters(row: Row) -> str:
    return row.text.group if isinstance(row, ModelCompared) else ""


def _point(row: Row, figure: Interval, run: Run, find: Find) -> PageData:
    bits, nbytes = row.bits_per_weight, row.file_bytes
    for side in run.inputs.models:
        if not bits and side.name == row.name and side.bits_per_weight > 0:
            bits = side.bits_per_weight
    weights = row.weights or (round(8 * nbytes / bits) if bits else None)
    cache: Sequence[PageData] | None = None
    if row.cache is not None:
        cache = [kind.to_json() for kind in row.cache]
    line = row.shape
    shape = find(row.name, nbytes) if cache is None or line is None else None
    if shape is not None:
        cache = cache_per_position(shape)
        line = f"{shape.architecture}, {len(shape.layers)} layers of {shape.width}"
    if cache is None and isinstance(row, ModelCompared) and row.cache_bytes:
        # A run of an older version has no shape of the cache: assume no sliding windows.
        context = max(run.result_as(AcrossResult).context, 1)
        cache = [{"layers": 1, "bytes": row.cache_bytes / context, "window": None}]
    return {
        "name": row.name, "formats": row.formats, "bits": bits,
        "line": line or (f"{weights / 1e9:.2g}B weights" if weights else row.name),
        "file_bytes": nbytes, "cache": cache, **figure.to_json(),
    }  # fmt: skip


def _add_measured(
    within: dict[tuple[object, ...], PageData], run: Run, found: MeasureResult, find: Find
) -> None:
    """Add a measured quant to the series of its reference, text and context."""
    quant, reference = run.inputs.quant, run.inputs.reference
    if quant is None or reference is None or found.kl.empty:
        return
    key = reference.fingerprint, run.inputs.text, run.settings.context, found.tokens
    series = within.setdefault(key, {
        "id": f"kl:{run.path.name}", "run": run.path.name, "metric": "kl", "less": True,
        "title": f"KL of {reference.name}'s formats, nats per token", "between": False,
        "told": COMPARABLE_WITHIN_MODEL, "points": [],
    })  # fmt: skip
    shape = find(reference.name, reference.file_bytes) or find(quant.name, quant.file_bytes)
    mean = Interval(found.kl.mean, found.kl.low, found.kl.high)
    point = {
        "name": quant.name, "formats": ", ".join(quant.formats), "bits": quant.bits_per_weight,
        "line": reference.name, "file_bytes": quant.file_bytes,
        "cache": cache_per_position(shape) if shape else None, **mean.to_json(), "group": "",
    }  # fmt: skip
    series["points"] = [p for p in series["points"] if p["name"] != point["name"]] + [point]


def cache_per_position(shape: ModelShape) -> Sequence[PageData]:
    """Return the cache of a model's layers for one position, in 16-bit elements."""
    return [
        {"layers": count, "bytes": 2 * (layer.keys + layer.values + layer.indexer),
         "window": layer.window}
        for layer, count in shape.kinds
    ]  # fmt: skip
