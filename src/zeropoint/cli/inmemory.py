"""Makes a quant in memory, for the verbs that measure one without writing it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeropoint.cli.output import Output, ProgressStyle
from zeropoint.cli.progress import track

if TYPE_CHECKING:
    from zeropoint.calibration import Calibration
    from zeropoint.checkpoints import Checkpoint
    from zeropoint.metrics.divergence.compatibility import ModelIdentity
    from zeropoint.models import LanguageModel
    from zeropoint.quantizers.in_memory import InMemoryPlan
    from zeropoint.results.model_identity import MadeInMemory


@dataclass(frozen=True)
class Copy:
    """A quant that is decided on, and not made yet: its plan, its name, its sizes."""

    source: "Checkpoint"
    plan: "InMemoryPlan"
    side: "ModelIdentity"
    made: "MadeInMemory"
    calibration: "Calibration | None"

    def make(self, out: Output, threads: int | None, progress: ProgressStyle) -> "LanguageModel":
        """Load what stays as it is once more, and quantize the rest."""
        from zeropoint.models import load_model
        from zeropoint.quantizers.in_memory import quantize_in_memory

        later = {choice.name for choice in self.plan.changing}
        model = load_model(self.source, threads=threads, later=later)
        steps = quantize_in_memory(model, self.plan)
        quiet = out.progress(progress)
        for _ in track(steps, self.plan.elements, "quantizing", quiet):
            pass
        return model


def plan_copy(source: "Checkpoint", to: str, imatrix: Path | None, *, requantize: bool) -> Copy:
    """Decide on formats by a preset, format or recipe; no weight is read."""
    from zeropoint.calibration import read_imatrix
    from zeropoint.metrics.divergence.compatibility import describe_plan
    from zeropoint.quantizers.in_memory import plan_in_memory
    from zeropoint.results.model_identity import MadeInMemory

    calibration = read_imatrix(imatrix) if imatrix else None
    plan = plan_in_memory(source, to, calibration, requantize=requantize)
    made = MadeInMemory(
        to=to,
        imatrix=imatrix.name if imatrix else None,
        bits_per_weight=plan.bits_per_weight,
        tensor_bytes=plan.tensor_bytes,
    )
    return Copy(source, plan, describe_plan(source, plan.name, plan.choices), made, calibration)
