"""Where the second moments of `quantize` come from: a folder, the cache, or a text.

A text is read layer by layer (see `LayerWalk`). The moments of the model that is not quantized go
into the cache, so that a second command with the same model and text reads nothing.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zeropoint._version import __version__
from zeropoint.calibration.chunks import read_chunks, spread_over_domains
from zeropoint.calibration.corpus import Corpus, open_corpus
from zeropoint.calibration.layer_walk import LayerProgress, LayerWalk
from zeropoint.calibration.moment_cache import cache_moments, find_moments
from zeropoint.calibration.moments import MomentFolder, folder_bytes
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.atomic import free_bytes
from zeropoint.checkpoints.provenance import file_sha256
from zeropoint.errors import NotEnoughSpace
from zeropoint.kernels import default_threads
from zeropoint.metrics.identity import identify
from zeropoint.models import read_architecture, read_tokenizer
from zeropoint.quantizers.feedback_rounding import linear_algebra
from zeropoint.quantizers.work_estimate import (
    LayerWork,
    milliseconds,
    predict_layers,
    work_rates,
)
from zeropoint.verbs.arguments import as_list
from zeropoint.verbs.options.quantize import EFFORT_TOKENS, QuantizeOptions
from zeropoint.verbs.records import Notice, StageStarted

CONTEXT = 512  # tokens of a chunk of calibration text


@dataclass(frozen=True)
class MomentsPlanned:
    """A text will be read for second moments, before or while the model is quantized."""

    folder: Path
    nbytes: int  # maximum size of the folder
    tokens: int  # of the text
    seconds: float  # predicted, until the output is complete


@dataclass(frozen=True)
class RoundingPlanned:
    """Rows will be rounded with second moments that are there already."""

    folder: Path  # of the rounded rows, until the output is complete
    nbytes: int  # of these rows; 0 if no tensor gets feedback
    seconds: float  # predicted


MomentRecord: TypeAlias = Notice | MomentsPlanned | RoundingPlanned | StageStarted | LayerProgress


def read_text(options: QuantizeOptions) -> Corpus:
    """Return the text to calibrate on: the user's files, or the built-in one."""
    return open_corpus(as_list(options.text), "calibrate")


def start_walk(
    source: Checkpoint, corpus: Corpus, folder: Path, options: QuantizeOptions
) -> LayerWalk:
    """Begin or resume a walk of a text through the layers, with its moments in `folder`.

    Raises MeasurementError for a text that is shorter than one chunk.
    """
    chunks = read_chunks(corpus, source, read_tokenizer(source), CONTEXT)
    chunks = spread_over_domains(chunks, EFFORT_TOKENS[options.effort] // CONTEXT)
    fingerprint = identify(source).fingerprint
    inputs = {"model": source.path.name, "fingerprint": fingerprint, "corpus": corpus.hash}
    settings = {"chunks": len(chunks), "context": CONTEXT}
    threads = options.threads or default_threads()
    moments = MomentFolder.start(folder, inputs, settings, threads=threads)
    return LayerWalk(source, read_architecture(source), chunks, moments, threads=threads)


def predict_work(source: Checkpoint, options: QuantizeOptions) -> list[LayerWork]:
    """Return the predicted work on each layer, on this machine."""
    shapes = {name: info.shape for name, info in source.tensors.items() if len(info.shape) > 1}
    rates = work_rates(options.threads or default_threads())
    return predict_layers(read_architecture(source), shapes, CONTEXT, rates)


def reference_moments(
    source: Checkpoint,
    folder: Path,
    options: QuantizeOptions,
    rounding: RoundingPlanned,
    corpus: Corpus | None = None,
) -> Generator[MomentRecord, None, MomentFolder]:
    """Return the second moments of a model from the cache, or collect them into `folder`.

    Collected moments move into the cache; an interrupted collection is resumed. `rounding` is the
    work after it. `corpus` is read instead of the text in `options`.

    Raises NotEnoughSpace before the model reads anything, and MeasurementError for a text
    that is missing or shorter than one chunk.
    """
    corpus = corpus or read_text(options)
    identity = {
        "model": [file_sha256(path) for path in source.files],
        "corpus": corpus.hash,
        "tokens": EFFORT_TOKENS[options.effort],
        "context": CONTEXT,
        "zeropoint": __version__,
        "library": linear_algebra(),
    }
    found = find_moments(identity)
    if found:
        yield Notice(
            "the second moments of this model and text are in the cache"
            f" ({found.run.path}), so the text is not read again"
        )
        yield rounding
        return found
    walk = start_walk(source, corpus, folder, options)
    needed = folder_bytes(walk.matrices())
    # While they change, the states of a layer are there twice.
    needed += 2 * walk.state_bytes + rounding.nbytes
    check_space(folder, needed)
    work = predict_work(source, options)
    chunk_seconds = [layer.forward + layer.moments for layer in work]
    seconds = len(walk.tokens) * sum(chunk_seconds[walk.stored_layer() :])
    yield MomentsPlanned(folder, needed, walk.tokens.size, seconds + rounding.seconds)
    units = [max(1, milliseconds(one)) for one in chunk_seconds]
    yield StageStarted("calibrating", len(walk.tokens) * sum(units[walk.stored_layer() :]))
    yield from walk.collect_all(units)
    place = cache_moments(folder, identity)
    return find_moments(identity) or MomentFolder.open(place)


def sequential_bytes(walk: LayerWalk, rounded_bytes: int) -> int:
    """Return the maximum size of the work folder of a walk with sequential inputs.

    It has the moments of one layer, the states before and after it, and the rounded rows.
    """
    shapes = walk.matrices()
    layers = (
        {n: shapes[n] for n in one.tensors.values() if n in shapes}
        for one in walk.architecture.layers
    )
    return max(map(folder_bytes, layers)) + 2 * walk.state_bytes + rounded_bytes


def check_space(folder: Path, needed: int) -> None:
    """Raise NotEnoughSpace if the disk has fewer bytes free than `folder` still needs."""
    present = sum(entry.stat().st_size for entry in folder.rglob("*") if entry.is_file())
    free = free_bytes(folder)
    if needed - present > free:
        raise NotEnoughSpace(
            f"{folder}: the command needs {needed:,} bytes there until the output is complete, and"
            f" {free:,} bytes are free; write the output to another disk"
        )
