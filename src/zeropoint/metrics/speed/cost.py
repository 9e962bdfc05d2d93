"""Counts what one forward pass reads and computes, to compare speeds with the machine's peaks."""

from collections.abc import Iterator
from dataclasses import dataclass

from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.errors import MeasurementError
from zeropoint.models.architecture import Architecture, read_architecture


@dataclass(frozen=True)
class ModelCost:
    """The work of one model, for one prompt."""

    bytes_per_token: int  # weights read to generate a token: all once, of the embedding one row
    flops: int  # multiplications and additions to process the prompt


def cost_of(checkpoint: Checkpoint, prompt: int, generate: int = 0) -> ModelCost:
    """Count the work of a model for a prompt of `prompt` tokens.

    Only the experts that a token uses are counted. The bytes do not include the KV cache; the
    operations include attention. Raises MeasurementError if `prompt` + `generate` tokens do not fit
    the model's context.
    """
    model = read_architecture(checkpoint)
    if prompt + generate > model.context_length:
        raise MeasurementError(
            f"{prompt} + {generate} tokens do not fit the model's context of "
            f"{model.context_length} tokens"
        )
    stored, weights = 0.0, 0.0
    for info, share in _layer_tensors(checkpoint, model):
        stored += info.nbytes * share
        if len(info.shape) > 1:
            weights += info.rows * info.columns * share
    head = checkpoint.tensors[model.output]
    embedding = checkpoint.tensors[model.embedding]
    stored += head.nbytes + checkpoint.tensors[model.output_norm].nbytes
    stored += embedding.nbytes // embedding.rows
    products = weights * prompt + head.rows * head.columns * min(prompt, 1)
    return ModelCost(round(stored), round(2 * (products + _attention(model, prompt))))


def _layer_tensors(
    checkpoint: Checkpoint, model: Architecture
) -> Iterator[tuple[TensorInfo, float]]:
    """Yield the tensors of all layers, each with the share that one token uses, from 0 to 1."""
    for layer in model.layers:
        for role, name in layer.tensors.items():
            is_expert = layer.experts is not None and role.endswith("_exps")
            share = layer.experts.used / layer.experts.count if layer.experts and is_expert else 1.0
            yield checkpoint.tensors[name], share


def _attention(model: Architecture, prompt: int) -> int:
    """Count the multiplications of queries with keys and of scores with values."""
    total = 0
    for part in (layer.attention for layer in model.layers):
        if part:
            window = min(part.window or prompt, prompt)
            seen = window * (window + 1) // 2 + (prompt - window) * window
            total += seen * part.heads * (part.head_size + part.value_size)
    return total
