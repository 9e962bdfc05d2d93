"""Checks whether two models can be compared token by token."""

from zeropoint.errors import MeasurementError
from zeropoint.models.tokenizer import Tokenizer


def check_comparable(reference: Tokenizer, quant: Tokenizer) -> None:
    """Raise MeasurementError unless both tokenizers turn every text into the same tokens."""
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
            f"{b.tokens[first][:40]!r} in the quant: they do not belong to the same model"
        )
    same_rules = (
        a.model == b.model
        and a.pre == b.pre
        and (a.kinds == b.kinds).all()
        and (a.merges is None) == (b.merges is None)
        and (a.merges is None or b.merges is None or list(a.merges) == list(b.merges))
    )
    if not same_rules or reference.adds_bos != quant.adds_bos or a.bos != b.bos:
        raise MeasurementError(
            "the tokenizers of the reference and the quant cut text into different tokens: they"
            " cannot be compared token by token"
        )
