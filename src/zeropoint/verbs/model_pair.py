"""Opens the two models of a verb that compares a quantized model with its reference."""

from dataclasses import dataclass

from zeropoint.metrics.divergence.compatibility import check_comparable
from zeropoint.models import Mode
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput


@dataclass(frozen=True)
class ModelPair:
    """A reference and a quantized model, both loaded."""

    reference: LoadedModel
    quant: LoadedModel

    @classmethod
    def open(
        cls,
        reference: ModelInput | LoadedModel,
        quant: ModelInput | LoadedModel,
        *,
        mode: Mode = "exact",
        threads: int | None = None,
        same_tokens: bool = True,
    ) -> "ModelPair":
        """Open and load both models; a LoadedModel is used directly.

        Raises MeasurementError if their tokenizers differ, unless `same_tokens` is false, and
        CheckpointError or UnsupportedModel for a model that cannot be run.
        """
        pair = cls(*(_load(model, mode, threads) for model in (reference, quant)))
        if same_tokens:
            pair.check_tokens()
        return pair

    def check_tokens(self) -> None:
        """Raise MeasurementError unless both models cut a text into the same tokens."""
        check_comparable(self.reference.model.tokenizer, self.quant.model.tokenizer)


def _load(model: ModelInput | LoadedModel, mode: Mode, threads: int | None) -> LoadedModel:
    if isinstance(model, LoadedModel):
        return model
    return LoadedModel.open(model, mode=mode, threads=threads)
