"""A run of search that was never made: real sizes and formats, and losses that follow from them."""

from pathlib import Path

from zeropoint.allocation.budget import file_size_of, weights_of
from zeropoint.allocation.menu import make_menu, recipe_for
from zeropoint.checkpoints import open_model
from zeropoint.quantizers import WriteOptions
from zeropoint.results.allocation import Evaluated, SearchPoint, SearchResult
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.model_identity import ReferenceIdentity
from zeropoint.results.run_store import RunFolder
from zeropoint.results.runs import read_run


def write_search(
    folder: Path, model: Path, measured: Path, *, measure_last: bool = True
) -> SearchResult:
    """Write a run with two recipes of a model; the loss of the larger one is that of a measure."""
    loss = read_run(measured).result_as(MeasureResult)
    with open_model(model) as source:
        menu = make_menu(source, importance=True)
        size_of = file_size_of(source, None, WriteOptions())
        points = []
        for number, share in enumerate((0.25, 0.6)):
            choices = [
                int((len(entry.formats) - 1) * share + at) % len(entry.formats)
                for at, entry in enumerate(menu.entries)
            ]
            formats = menu.assignment(choices)
            nbytes, predicted = size_of(formats), 0.3 - 0.2 * share
            tried = [
                Evaluated(
                    change=change,
                    tensor_bytes=nbytes - 1000,
                    predicted=predicted * scale,
                    loss=Interval(predicted * scale * 1.3, predicted * scale, predicted * 2),
                    accepted=accepted,
                )
                for change, scale, accepted in (
                    ("the predicted optimum", 1.1, True),
                    ("ffn_down × 1.6", 1.05, False),
                    ("attn_v × 1.6", 1.0, True),
                )
            ]
            points.append(
                SearchPoint(
                    budget_bytes=nbytes + 77,
                    file_bytes=nbytes,
                    bits_per_weight=8 * nbytes / weights_of(source),
                    predicted=predicted,
                    recipe=str(recipe_for(source, formats)),
                    formats=formats,
                    evaluations=tuple(tried),
                    measured=loss if number and measure_last else None,
                )
            )
    head = read_run(measured).reference
    reference = ReferenceIdentity.of(head)
    result = SearchResult(
        reference=reference, objective="kl", effort="normal", profile="any", points=tuple(points)
    )
    run = RunFolder.start(folder, "search", {"reference": head.to_json()}, {})
    run.finish(result)
    return result


def write_search_text(path: Path) -> None:
    """Write a text that is long enough for all three parts of a search."""
    words = "the cat and the hat in the rain, and the dog on the mat by the door".split()
    lines = (" ".join(words[at % 7 :: 1 + at % 3]) for at in range(3000))
    path.write_text("\n".join(lines))
