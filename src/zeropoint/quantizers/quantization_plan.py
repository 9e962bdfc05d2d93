"""Plans a quantization: the format of each tensor, the exact size, and what to warn of."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.calibration import Calibration, coverage
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.file_kind import find_file_kind
from zeropoint.kernels import has_encoder
from zeropoint.plans import (
    Choice,
    Recipe,
    bits_per_weight,
    check_importance,
    choose_formats,
    predict_size,
    recipe_of,
)
from zeropoint.plans.formats.choose import FormatOptions
from zeropoint.quantizers.checkpoint import check_storable, complete
from zeropoint.quantizers.provenance import output_metadata
from zeropoint.quantizers.records import WriteOptions
from zeropoint.results.quantize import Fallback, PlannedTensor, QuantizePreview


@dataclass(frozen=True)
class QuantizationPlan:
    """A format for each tensor of a checkpoint, and the options to write them with."""

    source: Checkpoint
    #: In the order of the source's tensors.
    choices: Sequence[Choice]
    calibration: Calibration | None
    options: WriteOptions

    @property
    def elements(self) -> int:
        """Number of weights."""
        return sum(choice.elements for choice in self.choices)

    @property
    def encoded_elements(self) -> int:
        """Number of weights that change their format."""
        return sum(choice.elements for choice in self.choices if choice.changes)

    def predicted_bytes(self) -> int:
        """Return the size of the output, to the byte."""
        metadata = output_metadata(self.source, self.choices, self.calibration, self.options)
        limit = self.options.max_shard_bytes
        return predict_size(self.choices, metadata, max_shard_bytes=limit)

    def recipe(self) -> str:
        """Return the recipe that gives the same formats again."""
        architecture = str(self.source.metadata.get("general.architecture", ""))
        return str(recipe_of(self.choices, architecture)).rstrip("\n")

    def fallbacks(self) -> tuple[Fallback, ...]:
        """Return the tensors whose shape forces another format than the one wanted."""
        return tuple(
            Fallback(name=c.name, wanted=c.wanted.name, format=c.format.name, reason=c.reason)
            for c in self.choices
            if c.fallback
        )

    def preview(self) -> QuantizePreview:
        """Return what writing the plan would give; no weight is read."""
        size = self.predicted_bytes()
        return QuantizePreview(
            output_bytes=size,
            bits_per_weight=bits_per_weight(size, self.choices),
            source_bytes=self.source.file_bytes,
            recipe=self.recipe(),
            fallbacks=self.fallbacks(),
            tensors=tuple(
                PlannedTensor(
                    name=choice.name,
                    shape=choice.shape,
                    source_format=choice.source.name,
                    format=choice.format.name,
                    bytes=choice.nbytes,
                    reason=choice.reason,
                )
                for choice in self.choices
            ),
        )

    def obstacles(self) -> list[str]:
        """Return why the plan cannot be written as it is, one sentence each."""
        reasons = []
        if any(choice.requantizes for choice in self.choices) and not self.options.requantize:
            reasons.append("the model is already quantized: writing it requires --requantize")
        changed = {choice.format.name for choice in self.choices if choice.changes}
        if missing := sorted(name for name in changed if not has_encoder(name)):
            reasons.append(f"this cannot be written: there is no encoder for {', '.join(missing)}")
        return reasons

    def warnings(self) -> list[str]:
        """Return notes for the user: fallback formats, and a thin importance matrix."""
        groups: dict[tuple[str, str, int], list[Choice]] = {}
        for choice in self.choices:
            if choice.fallback:
                key = (choice.wanted.name, choice.format.name, choice.shape[-1])
                groups.setdefault(key, []).append(choice)
        texts = [
            f"{len(group)} tensors get {format} instead of {wanted}, because their rows of {row}"
            f" weights are not a multiple of {group[0].wanted.block_size}"
            for (wanted, format, row), group in groups.items()
        ]
        if copies_all(self.source) and not any(choice.changes for choice in self.choices):
            texts.append(
                f"{self.source.path.name} is a projector of images or audio (mmproj), so its"
                " tensors are copied as they are"
            )
        return texts + self._coverage_warnings()

    def _coverage_warnings(self) -> list[str]:
        if self.calibration is None:
            return []
        encoded = [choice for choice in self.choices if choice.changes]
        covered = coverage(self.calibration, encoded, tied=self.source.tied_output)
        counts = {state: covered.count(state) for state in ("missing", "empty", "partial", "thin")}
        listed = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
        if not listed:
            return []
        return [
            f"importance of {len(encoded)} tensors: {listed}; where it is missing, all columns"
            " count the same"
        ]


def copies_all(source: Checkpoint) -> bool:
    """Return whether `quantize` copies the tensors of a file, because it is no language model."""
    return find_file_kind(source).name == "mmproj"


def plan_quantization(
    source: Checkpoint,
    to: str | Recipe,
    calibration: Calibration | None,
    options: WriteOptions,
    rules: FormatOptions,
    *,
    awaits_importance: bool = False,
) -> QuantizationPlan:
    """Choose a format for each tensor. `to` is a preset, a format, a recipe or its file.

    `awaits_importance` is whether importance will be collected before the plan is written; the
    formats are then chosen as if it were there.

    A projector of images or audio is copied as it is, unless `to` is a recipe.

    Raises RecipeError for names that do not exist, shapes that nothing fits, and formats that need
    an importance matrix; FormatError for a format that no GGUF file can hold.
    """
    awaits_importance = awaits_importance and calibration is None
    has_importance = awaits_importance or calibration is not None
    named = not isinstance(to, Recipe) and Path(to).suffix != ".recipe"
    if named and copies_all(source):
        return QuantizationPlan(source, complete(source, ()), calibration, options)
    choices = choose_formats(source, to, imatrix=has_importance, **rules)
    check_storable(choices)
    if not awaits_importance:
        check_importance(choices, calibration.statistics if calibration else ())
    return QuantizationPlan(source, choices, calibration, options)
