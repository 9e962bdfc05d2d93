"""Makes a quant in memory, for the verbs that measure one without writing it."""

from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output
from zeropoint.cli.progress import Progress, track

if TYPE_CHECKING:
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.metrics.inmemory import InMemory
    from zeropoint.metrics.sides import Side
    from zeropoint.models import LanguageModel


def quantized_copy(
    out: Output,
    source: "Checkpoint",
    to: str,
    imatrix: Path | None,
    *,
    requantize: bool,
    threads: int | None,
    progress: Progress,
) -> tuple["LanguageModel", "Side", dict[str, object], "InMemory"]:
    """Load the model once more and quantize it; return it, its name, its settings, its plan."""
    from functools import partial

    from zeropoint.calibration import read_imatrix
    from zeropoint.metrics.inmemory import plan_in_memory, quantize_in_memory
    from zeropoint.metrics.sides import describe_plan
    from zeropoint.models import load_model
    from zeropoint.quantizers import quantize

    calibration = read_imatrix(imatrix) if imatrix else None
    plan = plan_in_memory(source, to, calibration, requantize=requantize)
    model = load_model(source, threads=threads)
    encode = partial(quantize, threads=model.threads)
    steps = quantize_in_memory(model, source, plan, encode, calibration)
    quiet = Progress.none if out.quiet and progress is Progress.auto else progress
    for _ in track(steps, plan.elements, "quantizing", quiet):
        pass
    settings: dict[str, object] = {
        "as": to,
        "imatrix": imatrix.name if imatrix else None,
        "bits_per_weight": plan.bits_per_weight,
        "tensor_bytes": plan.tensor_bytes,
    }
    return model, describe_plan(source, plan.name, plan.choices), settings, plan
