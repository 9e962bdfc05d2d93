"""The walk: one document that takes a reader through quantization on a real model.

The text is in static/entries/walk.html, the figures in static/entries/walk.js, the data here:
the contents of the file (`weights`), forward passes (`forward_pass`), and measured results
(`measure_runs`). Data that the reader's own model and runs lack comes from the example run, and the
page says so.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.checkpoints import Checkpoint
from zeropoint.models import LanguageModel
from zeropoint.results.runs import Run
from zeropoint.studio.data import forward_pass, measure_runs, weights
from zeropoint.studio.data.page_data import PageData, plain
from zeropoint.studio.static_files import STATIC

EXAMPLE = "entries/example.json.gz"
ABLATION_CONTEXT_TOKENS = 256  # tokens of the text that single weights are taken out on
MAX_POSITIONS = 180  # of the texts that the page carries


@dataclass(frozen=True)
class WalkProgress:
    """Progress of the page's data: weights read, of the total; then finished parts."""

    done: int
    what: str


class Walk:
    """The walk of a model: `data` is complete after `steps` has been drained.

    `model` runs for the figures that need a forward pass; `quant` answers the same prompts.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        runs: Sequence[Run],
        model: LanguageModel | None = None,
        quant: LanguageModel | None = None,
    ) -> None:
        self.checkpoint = checkpoint
        self.runs = runs
        self.model = model
        self.quant = quant
        self.total = sum(info.elements for info in checkpoint.tensors.values())
        self.data: PageData = {}

    def steps(self) -> Iterator[WalkProgress]:
        """Read the model and the runs; missing parts come from the example run."""
        data: PageData = {"model": weights.describe_model(self.checkpoint)}
        seen = []
        for matrix in weights.look(self.checkpoint):
            seen.append(matrix.figures)
            yield WalkProgress(matrix.done, str(matrix.figures["name"]))
        data["tensors"] = weights.finish(self.checkpoint, seen)
        data |= from_runs(self.runs)
        if self.model is not None:
            texts = tokens_of(data, self.model)
            for step in forward_pass.run_passes(
                self.checkpoint, self.model, self.quant, seen, texts
            ):
                data[step.key] = step.figures
                yield WalkProgress(self.total, step.key)
        self.data = completed(data)


def from_runs(runs: Sequence[Run]) -> PageData:
    """Return the parts that come from runs: the texts of the first measure run, and the ladders."""
    data: PageData = {}
    for run in runs:
        if run.verb == "measure" and "texts" not in data:
            data |= {"run": run.path.name, "texts": measure_runs.text_of(run, MAX_POSITIONS)}
    ladders = [run for run in runs if run.verb == "ladder"]
    if ladders:
        names = "the ladder run " + ", ".join(run.path.name for run in ladders)
        data |= {
            "ladder_run": names,
            "ladder": measure_runs.marks_of(measure_runs.ladder_of(ladders)),
        }
    return data


def tokens_of(data: PageData, model: LanguageModel) -> list[forward_pass.I32]:
    """Return the texts for the ablations: those of the run, or an excerpt of the built-in mix."""
    if "texts" in data:
        return [np.array(text["tokens"], np.int32) for text in data["texts"]]
    from zeropoint.calibration.chunks import read_chunks
    from zeropoint.calibration.corpus import builtin_corpus

    corpus = builtin_corpus("evaluate", ["prose", "code"])
    chunks = read_chunks(
        corpus, model.checkpoint, model.tokenizer, ABLATION_CONTEXT_TOKENS, limit=2
    )
    return [chunk.tokens for chunk in chunks]


def completed(data: PageData) -> PageData:
    """Fill the missing parts from the example run, and list them."""
    known = example()
    missing = [key for key in known if key not in data]
    unnamed = ("run", "ladder_run", "borrowed")
    borrowed = [key for key in missing if key not in unnamed] if "model" in data else []
    return {**{key: known[key] for key in missing}, **data, "borrowed": borrowed}


def example() -> PageData:
    """Return the data of the example run; arrays stay in the encoding of `pack`."""
    path = STATIC / EXAMPLE
    if not path.is_file():
        return {}
    found: PageData = json.loads(gzip.decompress(path.read_bytes()))
    return found


def save_example(data: PageData, path: Path) -> None:
    """Write the example run: the same JSON as in a page."""
    text = json.dumps(plain(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
