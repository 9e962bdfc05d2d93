"""Reasons why a pair of models cannot be healed, found before anything is computed."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from zeropoint.calibration.chunks import Chunk
from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.checkpoints.names import is_matrix
from zeropoint.errors import MeasurementError
from zeropoint.formats import F32
from zeropoint.formats.rescale import can_rescale
from zeropoint.kernels.compare import compare_logits
from zeropoint.metrics.divergence.compatibility import check_comparable
from zeropoint.metrics.identity import identify
from zeropoint.models.architecture import Architecture, read_architecture
from zeropoint.models.base import LanguageModel
from zeropoint.models.tokenizer import read_tokenizer

MAX_HEALED_BITS = 8.0  # per weight; above, the loss is at the noise of the arithmetic
MAX_PERPLEXITY = 1000.0  # of the reference on text to train on
SUSPECT_PERPLEXITY = 50.0  # above, the order of the words must help the reference
MIN_ORDER_NATS = 0.3  # that shuffling the words of a text must cost per token
MIN_WORDS = 40  # of a window, for a shuffle to mean anything
SCORED_STRIDE = 4  # of the positions of a window, every fourth is scored


def check_pair(quant: Checkpoint, reference: Checkpoint) -> None:
    """Raise MeasurementError unless `quant` can be healed with `reference`."""
    if identify(quant).fingerprint == identify(reference).fingerprint:
        raise MeasurementError(
            f"{quant.path} is its own reference; give the 16-bit model that it was made from as"
            " --ref"
        )
    _check_formats(quant)
    ours, theirs = read_architecture(quant), read_architecture(reference)
    if _shape(ours) != _shape(theirs):
        raise MeasurementError(
            f"{reference.path} is not the model that {quant.path} was made from: {_differs(ours)}"
            f" and {_differs(theirs)}"
        )
    check_comparable(read_tokenizer(reference), read_tokenizer(quant))


def check_text(reference: LanguageModel, chunk: Chunk, states: F32) -> None:
    """Raise MeasurementError if the reference cannot predict a window of text.

    Such text teaches the quant nothing about what the reference knows: its perplexity is above
    MAX_PERPLEXITY, or it is high and stays as it is when the words are shuffled. `states` (context,
    width) are the reference's hidden states.
    """
    loss = _loss(reference, chunk.tokens, states, chunk.first)
    if loss > np.log(MAX_PERPLEXITY):
        raise MeasurementError(
            f"the reference's perplexity on {chunk.domain} is {np.exp(loss):,.0f}, so this is no"
            f" text that it knows (at most {MAX_PERPLEXITY:,.0f}); give other text (--text)"
        )
    if loss < np.log(SUSPECT_PERPLEXITY):
        return
    words = reference.tokenizer.decode(chunk.tokens.tolist()).split(" ")
    if len(words) < MIN_WORDS:
        return
    order = np.random.default_rng(0).permutation(len(words))
    ids = reference.tokenizer.encode(" ".join(words[at] for at in order))[: chunk.tokens.size]
    tokens = np.asarray(ids, np.int32)
    shuffled = _loss(reference, tokens, reference.hidden(tokens), min(chunk.first, len(ids) // 2))
    if shuffled - loss < MIN_ORDER_NATS:
        raise MeasurementError(
            f"the reference's perplexity on {chunk.domain} is {np.exp(loss):,.0f}, and"
            f" {np.exp(shuffled):,.0f} after its words are shuffled, so their order says nothing;"
            " give other text (--text)"
        )


def _loss(reference: LanguageModel, tokens: NDArray[np.int32], states: F32, first: int) -> float:
    """Return the mean loss in nats of every SCORED_STRIDE-th token after the position `first`."""
    places = np.arange(first, tokens.size - 1, SCORED_STRIDE)
    logits = reference.head(states[places])
    return float(compare_logits(logits, logits, tokens[places + 1]).nll_reference.mean())


def _check_formats(quant: Checkpoint) -> None:
    matrices = list(_quantized(quant))
    if not matrices:
        raise MeasurementError(f"{quant.path} is not quantized, so there is nothing to heal")
    if not any(can_rescale(info.format) for info in matrices):
        names = ", ".join(sorted({info.format.name for info in matrices}))
        raise MeasurementError(f"{quant.path}: the scales of {names} cannot be trained")
    weights = sum(info.elements for info in matrices)
    bits = sum(info.elements * info.format.bits_per_weight for info in matrices) / weights
    if bits > MAX_HEALED_BITS:
        raise MeasurementError(
            f"{quant.path} has {bits:.1f} bits per weight, where the loss is as small as the noise"
            f" of the arithmetic; only files below {MAX_HEALED_BITS:.0f} bits are healed"
        )


def _quantized(quant: Checkpoint) -> Iterator[TensorInfo]:
    """Yield the matrices in blocks, without the token embedding and the output matrix."""
    for info in quant.tensors.values():
        layer = info.name.startswith("blk.")
        if layer and is_matrix(info.name, info.shape) and info.format.block_size > 1:
            yield info


def _shape(architecture: Architecture) -> tuple[object, ...]:
    return architecture.name, architecture.width, len(architecture.layers)


def _differs(architecture: Architecture) -> str:
    return (
        f"{architecture.name} of {len(architecture.layers)} layers with width {architecture.width}"
    )
