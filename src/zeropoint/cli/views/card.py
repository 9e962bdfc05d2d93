"""Prints the result of `card`: the files that it shows, and what was written."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.views.measure import format_interval, format_nats
from zeropoint.formatting import format_bytes

if TYPE_CHECKING:
    from zeropoint.results.card import CardFile, CardResult


def show(out: Output, result: "CardResult") -> None:
    """Print one line for each file, and the path of the card."""
    out.table(
        ("File", ">Size", ">Bits per weight", ">KL mean", ">95 % interval", "Picture"),
        (
            (file.name, format_bytes(file.file_bytes), f"{file.bits_per_weight:.2f}",
             *_loss(file), file.picture)
            for file in result.files
        ),
    )  # fmt: skip
    out.note(f"wrote {result.card}")


def _loss(file: "CardFile") -> tuple[str, str]:
    loss = file.proof.loss if file.proof else None
    if loss is None:
        return "not measured", "-"
    return format_nats(loss.kl.mean), format_interval(loss.kl, ".5f") or "-"
