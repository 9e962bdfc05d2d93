"""Terminal view of the result of `calibrate`."""

from typing import TYPE_CHECKING

from zeropoint.cli.output import Output

if TYPE_CHECKING:
    from zeropoint.results.calibrate import CalibrateResult


def show_result(out: Output, result: "CalibrateResult") -> None:
    """Print the amount of text, and the tensors with thin or missing data."""
    out.say(
        f"Read         {result.chunks} chunks of {result.context} tokens   "
        f"{', '.join(result.domains)}   corpus {result.corpus[:12]}"
    )
    full = result.matrices - len(result.coverage)
    out.say(f"Coverage     {full} of {result.matrices} matrices have data from enough rows")
    if result.coverage:
        out.say()
        out.table(
            ("Tensor", "State", ">Matrices", ">Without data", ">Few rows", ">Rows"),
            (
                (t.name, t.state, t.matrices, t.without, t.few, " … ".join(map(str, t.row_range)))
                for t in result.coverage
            ),
        )
        out.say("Where a matrix has no data, all its columns count the same.")
