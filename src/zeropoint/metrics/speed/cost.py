"""What a model has to read and to compute: the two numbers that speeds are compared with."""

from collections.abc import Iterator
from dataclasses import dataclass

from zeropoint.checkpoints import Checkpoint, TensorInfo
from zeropoint.errors import MeasurementError
from zeropoint.models.architecture import Architecture, read_architecture


@dataclass(frozen=True)
class Work:
    """Of one model and one prompt."""

    bytes_per_token: int  # weights read to write one: all of them once, of the embedding one row
    flops: int  # to read the prompt: multiplications and additions


def work_of(checkpoint: Checkpoint, prompt: int, generate: int = 0) -> Work:
    """Count what this model has to do for a prompt of so many tokens.

    Of experts those count that a token uses. The cache of keys and values is not among the bytes,
    attention is among the operations. Raises MeasurementError if prompt and generated tokens do not
    fit the model's context.
    """
    model = read_architecture(checkpoint)
    if prompt + generate > model.context_length:
        raise MeasurementError(
            f"{prompt} + {generate} tokens do not fit this model's context of "
            f"{model.context_length}"
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
    return Work(round(stored), round(2 * (products + _attention(model, prompt))))


def _layer_tensors(
    checkpoint: Checkpoint, model: Architecture
) -> Iterator[tuple[TensorInfo, float]]:
    """Yield each layer's tensors, and the share of it that one token uses."""
    for layer in model.layers:
        for role, name in layer.tensors.items():
            is_expert = layer.experts is not None and role.endswith("_exps")
            share = layer.experts.used / layer.experts.count if layer.experts and is_expert else 1.0
            yield checkpoint.tensors[name], share


def _attention(model: Architecture, prompt: int) -> int:
    """Count the multiplications of queries with keys and of scores with values."""
    total = 0
    for layer in model.layers:
        window = min(layer.window or prompt, prompt)
        seen = window * (window + 1) // 2 + (prompt - window) * window
        total += seen * layer.heads * (layer.head_size + layer.value_size)
    return total
