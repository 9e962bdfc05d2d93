"""Bigger or smaller: what models reach beside the memory that they take, read from runs.

Between models nats per byte of the same text, tasks and chains may be compared (`compare` without
--ref, `tasks`). KL is against a model's own reference: it ranks the formats of one model only
(`measure`, `ladder`). Each such scale is a series of its own, and none is mixed with another.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zeropoint.plans.shape import Shape
from zeropoint.studio.evidence import Figures, Run

BETWEEN = "These may be compared between models: all of them did the same."
WITHIN = (
    "KL is against the model's own reference, so it ranks the formats of this model and tells "
    "nothing about another model. For that: zeropoint compare A B --run DIR, or tasks."
)
Record = Mapping[str, Any]
Find = Callable[[str, int], Shape | None]  # by a file's name and size


def series_of(runs: Iterable[tuple[Path, Record]], find: Find) -> list[Figures]:
    """Return every scale that runs have, those between models first, the newest run first.

    A point has `name`, `line` (which model it is), `bits`, `file_bytes`, `cache` (what its layers
    keep of a position), and `mean`, `low`, `high` of what was measured; `group`: letters, where a
    paired test told points apart. `find` gives the shape of a file that a run says too little of.
    """
    between: list[Figures] = []
    within: dict[tuple[str, ...], Figures] = {}
    for path, record in runs:
        verb, found = str(record.get("verb")), record.get("results")
        if not isinstance(found, Mapping):
            continue
        if verb in ("across", "tasks"):
            between = [*across(path, verb, record, find), *between]
        elif verb == "measure":
            _add_measured(within, path, record, find)
    several = [series for series in within.values() if len(series["points"]) > 1]
    return [*between, *reversed(several)]


def scales_of(runs: Iterable[Run]) -> list[Figures]:
    """Return what of runs may be compared between models, from the runs alone."""
    records = [(run.path, {"verb": run.verb, "inputs": run.inputs, "settings": run.settings,
                           "results": run.results}) for run in runs]  # fmt: skip
    return [scale for scale in series_of(records, lambda *_: None) if scale["between"]]


def across(path: Path, verb: str, record: Record, find: Find) -> Iterator[Figures]:
    """Yield the scales of one run of `compare` without --ref, or of `tasks`."""
    found = record["results"]
    rows = found.get("results" if verb == "across" else "models")
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    scales: list[tuple[str, str, bool, Callable[[Figures], object]]] = [
        ("nats", "nats per byte of the same text", True, _nats),
        ("tasks", "share of the same tasks done rightly", False,
         _tasks if verb == "across" else _accuracy),
        ("chains", "share of chains right after their last step", False, _chains),
    ]  # fmt: skip
    for metric, title, less, of in scales:
        points = []
        for row in rows:
            figures = of(row)
            if isinstance(figures, dict) and isinstance(figures.get("mean"), int | float):
                group = row["text"].get("group", "") if metric == "nats" else ""
                points.append(_point(row, figures, record, find) | {"group": group})
        if len(points) > 1:
            yield {"id": f"{metric}:{path.name}", "run": path.name, "metric": metric,
                   "title": title, "less": less, "between": True, "told": BETWEEN,
                   "points": points}  # fmt: skip


def _nats(row: Figures) -> object:
    return row["text"].get("nats_per_byte") if isinstance(row.get("text"), dict) else None


def _tasks(row: Figures) -> object:
    return _accuracy(row["tasks"]) if isinstance(row.get("tasks"), dict) else None


def _accuracy(row: Figures) -> object:
    return row.get("accuracy")


def _chains(row: Figures) -> object:
    chains = row.get("chains")
    together = chains.get("together") if isinstance(chains, dict) else None
    return together["quant"]["accuracy"][-1] if isinstance(together, dict) else None


def _point(row: Figures, figures: Figures, record: Record, find: Find) -> Figures:
    name, nbytes = str(row.get("name")), int(row["file_bytes"])
    sides = (record.get("inputs") or {}).get("models") or []
    known = [side for side in sides if isinstance(side, dict) and side.get("name") == name]
    bits = row.get("bits_per_weight") or (known[0].get("bits_per_weight") if known else None)
    weights = row.get("weights") or (round(8 * nbytes / bits) if bits else None)
    cache, line = row.get("cache"), row.get("shape")
    shape = find(name, nbytes) if cache is None or line is None else None
    if shape is not None:
        cache, line = (
            kept(shape),
            f"{shape.architecture}, {len(shape.layers)} layers of {shape.width}",
        )
    if cache is None and row.get("cache_bytes"):  # of a run before it told: as if without windows
        context = int(record["results"].get("context") or 4096)
        cache = [{"layers": 1, "bytes": row["cache_bytes"] / context, "window": None}]
    return {
        "name": name, "formats": str(row.get("formats", "")), "bits": bits,
        "line": line or (f"{weights / 1e9:.2g}B weights" if weights else name),
        "file_bytes": nbytes,
        "cache": cache, "mean": figures["mean"], "low": figures.get("low"),
        "high": figures.get("high"),
    }  # fmt: skip


def _add_measured(
    within: dict[tuple[str, ...], Figures], path: Path, record: Record, find: Find
) -> None:
    """Put a measured quant beside the others of its reference, text and context."""
    inputs, found = record.get("inputs") or {}, record["results"]
    quant, reference = inputs.get("quant"), inputs.get("reference")
    if not isinstance(quant, dict) or not isinstance(reference, dict):
        return
    figures, text = found.get("kl"), inputs.get("text")
    if not isinstance(figures, dict) or not isinstance(figures.get("mean"), int | float):
        return
    settings = record.get("settings") or {}
    key = tuple(str(part) for part in (reference.get("fingerprint"), text, settings.get("context"),
                                       found.get("tokens")))  # fmt: skip
    name = str(reference.get("name"))
    series = within.setdefault(key, {
        "id": f"kl:{path.name}", "run": path.name, "metric": "kl", "less": True,
        "title": f"KL of {name}'s formats, nats per token", "between": False, "told": WITHIN,
        "points": [],
    })  # fmt: skip
    shape = find(name, int(reference["file_bytes"])) or find(str(quant.get("name")),
                                                             int(quant["file_bytes"]))  # fmt: skip
    formats = quant.get("formats")
    point = {
        "name": str(quant.get("name")), "formats": ", ".join(formats) if formats else "",
        "bits": quant.get("bits_per_weight"), "line": name, "file_bytes": int(quant["file_bytes"]),
        "cache": kept(shape) if shape else None, "mean": figures["mean"],
        "low": figures.get("low"), "high": figures.get("high"), "group": "",
    }  # fmt: skip
    series["points"] = [p for p in series["points"] if p["name"] != point["name"]] + [point]


def kept(shape: Shape) -> Sequence[Figures]:
    """Return what a shape's layers keep of a position in 16 bits."""
    return [
        {"layers": count, "bytes": 2 * (layer.keys + layer.values + layer.indexer),
         "window": layer.window}
        for layer, count in shape.kinds
    ]  # fmt: skip
