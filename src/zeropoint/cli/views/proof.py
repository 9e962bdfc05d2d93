"""Prints what a file says about its making: method, digest of the tensors, measured loss."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.measure import format_interval, format_nats

if TYPE_CHECKING:
    from zeropoint.results.proof import FileProof, StoredLoss

OUTCOMES = {
    None: "not verified; --verify compares the tensors with it",
    True: "verified: the tensors have this digest",
    False: "DIFFERS: the tensors have another digest",
}


def show_proof(out: Output, proof: "FileProof") -> None:
    """Print the method, the digest, and the stored loss as a whole and by kind of text."""
    out.say()
    out.table(("Proof", ""), _lines(proof))
    if proof.loss and len(proof.loss.by_text) > 1:
        out.say()
        out.table(
            ("Text", ">Tokens", ">KL mean", ">95 % interval"),
            (
                (name, one.tokens, format_nats(one.mean), format_interval(one, ".5f") or "-")
                for name, one in proof.loss.by_text.items()
            ),
        )
    if proof.damage:
        out.warn(f"the stored loss is not used: {proof.damage}; measure and store it again")
    if proof.verified is False:
        out.warn("the tensors changed after the file was written: their digest differs")


def _lines(proof: "FileProof") -> Iterator[tuple[str, object]]:
    yield from proof.method.items()
    if proof.tensors_sha256:
        yield "tensors.sha256", proof.tensors_sha256
        yield "", OUTCOMES[proof.verified]
    if proof.loss:
        yield from _loss_lines(proof.loss)
    elif proof.has_fields:
        yield "loss", "not measured; `zeropoint measure FILE --ref REFERENCE --store` stores it"


def _loss_lines(loss: "StoredLoss") -> Iterator[tuple[str, str]]:
    interval = format_interval(loss.kl, ".5f", " (", ")")
    yield "loss", f"{loss.verdict}: KL {format_nats(loss.kl.mean)} nats per token{interval}"
    yield "", f"the same most likely token at {loss.top1:.2%} of {loss.tokens} positions"
    yield "reference", loss.reference
    yield "text.sha256", loss.text_sha256
