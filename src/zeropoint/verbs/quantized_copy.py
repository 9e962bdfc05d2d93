"""Quantizes a model in memory, for the verbs that measure a format without writing a file."""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from zeropoint.calibration import read_imatrix
from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import FORMATS
from zeropoint.metrics.identity import identify_copy
from zeropoint.models import Mode, load_model
from zeropoint.plans import Recipe
from zeropoint.quantizers import WriteOptions
from zeropoint.quantizers.in_memory import (
    InMemoryPlan,
    TensorReplaced,
    plan_in_memory,
    quantize_in_memory,
)
from zeropoint.quantizers.quantization_plan import QuantizationPlan
from zeropoint.results.model_identity import InMemoryQuantization, ModelIdentity
from zeropoint.verbs.loaded_model import LoadedModel
from zeropoint.verbs.records import StageStarted

#: Yields the progress of quantizing and returns the loaded model: `quant = yield from copy.load()`.
LoadRecords: TypeAlias = Generator[StageStarted | TensorReplaced, None, LoadedModel]


@dataclass(frozen=True)
class QuantizedCopy:
    """A quantized copy of a model that is planned and not made yet."""

    plan: InMemoryPlan
    identity: ModelIdentity
    quantization: InMemoryQuantization
    #: Size of the file that `quantize` would write, to the byte; None if no file can hold it.
    file_bytes: int | None = None

    @classmethod
    def plan_for(
        cls,
        source: Checkpoint,
        to: str | Recipe,
        *,
        imatrix: Path | str | None = None,
        requantize: bool = False,
    ) -> "QuantizedCopy":
        """Choose the formats by a preset, a format or a recipe. No weight is read.

        `imatrix` is the file with the importance to encode with. Raises RecipeError for an unknown
        name, and FormatError for a model that is already quantized, unless `requantize` allows it.
        """
        calibration = read_imatrix(Path(imatrix)) if imatrix else None
        plan = plan_in_memory(source, to, calibration, requantize=requantize)
        quantization = InMemoryQuantization(
            to=plan.name if isinstance(to, Recipe) else to,
            imatrix=Path(imatrix).name if imatrix else None,
            bits_per_weight=plan.bits_per_weight,
            tensor_bytes=plan.tensor_bytes,
        )
        identity = identify_copy(source, plan.name, plan.choices)
        return cls(plan, identity, quantization, _file_bytes(plan, to, imatrix))

    def load(self, *, mode: Mode = "exact", threads: int | None = None) -> LoadRecords:
        """Load the tensors that are not quantized, and quantize the others one by one."""
        source = self.plan.checkpoint
        later = {choice.name for choice in self.plan.changing}
        model = load_model(source, mode=mode, threads=threads, later=later)
        yield StageStarted("quantizing", self.plan.elements)
        yield from quantize_in_memory(model, self.plan)
        return LoadedModel(source, model, self.identity, self.quantization)


def _file_bytes(plan: InMemoryPlan, to: str | Recipe, imatrix: Path | str | None) -> int | None:
    if any(choice.format.name not in FORMATS for choice in plan.choices):
        return None
    options = WriteOptions(
        to=to if isinstance(to, str) else None,
        importance_file=Path(imatrix) if imatrix else None,
    )
    return QuantizationPlan(
        plan.checkpoint, plan.choices, plan.calibration, options
    ).predicted_bytes()
