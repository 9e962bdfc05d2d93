"""`measure --llama-compat`: the protocol, the names and the base files of llama-perplexity."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zeropoint.errors import MeasurementError
from zeropoint.metrics.peers.llama_base_file import (
    TokenScores,
    check_scored,
    scored_positions,
    statistics,
)
from zeropoint.metrics.peers.llama_perplexity import (
    base_bytes,
    join_scores,
    open_base_for,
    read_tokens,
    score_base,
    score_models,
)
from zeropoint.results.llama_perplexity import LlamaPerplexityResult
from zeropoint.verbs.arguments import as_paths
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput
from zeropoint.verbs.model_pair import ModelPair
from zeropoint.verbs.options.llama_perplexity import LlamaPerplexityOptions
from zeropoint.verbs.records import StageStarted


@dataclass(frozen=True)
class BaseFileStarted:
    """The base file is about to be written."""

    path: Path
    nbytes: int


@dataclass(frozen=True)
class LlamaProgress:
    """One more chunk is scored."""

    done: int  # chunks


LlamaRecord: TypeAlias = BaseFileStarted | StageStarted | LlamaProgress | LlamaPerplexityResult


def llama_perplexity_records(
    model: ModelInput, ref: ModelInput | None, options: LlamaPerplexityOptions
) -> Iterator[LlamaRecord]:
    """Score a quantized model as llama-perplexity does; yield the progress, and the result last.

    With a reference, the base file is written if one is named; without it, the base file is read.
    Raises MeasurementError for models or texts that cannot be compared, and CheckpointError for a
    base file that is damaged, or exists and may not be replaced.
    """
    if ref is not None:
        pair = ModelPair.open(ref, model, threads=options.threads)
        reference, quant = pair.reference.model, pair.quant.model
        files = as_paths(options.text)
        tokens = read_tokens(files, quant, options.context, options.chunks)
        if options.base is not None:
            yield BaseFileStarted(options.base, base_bytes(tokens, quant.vocab_size))
        steps = score_models(reference, quant, tokens, options.base, overwrite=options.overwrite)
        chunks, context = len(tokens), options.context
    elif options.base is not None:
        quant = LoadedModel.open(model, threads=options.threads).model
        base = open_base_for(options.base, quant, options.chunks)
        steps = score_base(base, quant)
        chunks, context = len(base.tokens), base.context
    else:
        raise MeasurementError("give a reference, or a base file of llama-perplexity to read")
    check_scored(chunks * scored_positions(context))  # before a base file is written
    scores: list[TokenScores] = []
    yield StageStarted("measuring", chunks, "chunks")
    for chunk_scores in steps:
        scores.append(chunk_scores)
        yield LlamaProgress(len(scores))
    yield LlamaPerplexityResult(context, chunks, statistics(join_scores(scores)))
