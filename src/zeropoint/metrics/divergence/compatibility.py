"""The two sides of a measurement: what they are, and whether they can be compared at all."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.models.tokenizer import Tokenizer
from zeropoint.plans import Choice, bits_per_weight
from zeropoint.results.model_identity import ModelIdentity

__all__ = ["ModelIdentity", "check_comparable", "describe", "describe_plan"]

_WINDOWS = 64  # of 4 KiB, spread over each file
_HEADER = 1 << 20


def describe(checkpoint: Checkpoint) -> ModelIdentity:
    """Return what a checkpoint is; reads a few of its bytes."""
    formats = Counter(t.format.name for t in checkpoint.tensors.values() if len(t.shape) > 1)
    size = checkpoint.file_bytes
    bits = bits_per_weight(size, checkpoint.tensors.values())
    return ModelIdentity(checkpoint.path.name, size, dict(formats), _fingerprint(checkpoint), bits)


def _fingerprint(checkpoint: Checkpoint) -> str:
    digest = hashlib.sha256()
    for path in checkpoint.files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        with path.open("rb") as file:
            digest.update(file.read(_HEADER))
            for window in range(_WINDOWS):
                file.seek(size * window // _WINDOWS)
                digest.update(file.read(4096))
    return digest.hexdigest()


def check_comparable(reference: Tokenizer, quant: Tokenizer) -> None:
    """Raise MeasurementError unless both turn text into the same tokens."""
    a, b = reference.vocabulary, quant.vocabulary
    if len(a) != len(b):
        raise MeasurementError(
            f"the reference has {len(a)} tokens and the quant {len(b)}: "
            "they cannot be compared token by token"
        )
    if a.tokens != b.tokens:
        pairs = zip(a.tokens, b.tokens, strict=True)
        first = next(i for i, (left, right) in enumerate(pairs) if left != right)
        raise MeasurementError(
            f"token {first} is {a.tokens[first][:40]!r} in the reference and "
            f"{b.tokens[first][:40]!r} in the quant: they are not of the same model"
        )
    same = (
        a.model == b.model
        and a.pre == b.pre
        and (a.kinds == b.kinds).all()
        and (a.merges is None) == (b.merges is None)
        and (a.merges is None or b.merges is None or list(a.merges) == list(b.merges))
    )
    if not same or reference.adds_bos != quant.adds_bos or a.bos != b.bos:
        raise MeasurementError(
            "the reference and the quant cut text into tokens differently (their tokenizers "
            "differ): they cannot be compared token by token"
        )


def describe_plan(source: Checkpoint, name: str, choices: Iterable[Choice]) -> ModelIdentity:
    """Return what a model is that was made of `source` in memory."""
    choices = list(choices)
    formats = Counter(choice.format.name for choice in choices if len(choice.shape) > 1)
    plan = "\n".join(f"{choice.name} {choice.format.name}" for choice in choices)
    digest = hashlib.sha256(f"{_fingerprint(source)}\n{plan}".encode()).hexdigest()
    size = sum(choice.nbytes for choice in choices)
    bits = bits_per_weight(size, choices)
    return ModelIdentity(f"{source.path.name} as {name}", size, dict(formats), digest, bits)
