"""A model as `plan` sees it: its shape, and its tensors with their formats, but no weights.

It comes from the headers of a file or repository, from a config.json, from the table of well-known
models, or from a size such as 27B.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.headers import ModelHeaders
from zeropoint.errors import RecipeError, UnsupportedModel
from zeropoint.formats import UNQUANTIZED
from zeropoint.plans.formats.choose import choose_formats
from zeropoint.plans.formats.model_facts import CheckpointLike
from zeropoint.plans.formats.names import target_format
from zeropoint.plans.formats.presets import find_preset
from zeropoint.plans.memory.cache_shape import ModelShape, read_shape, weights_bytes
from zeropoint.plans.memory.configs import read_config
from zeropoint.plans.memory.named_models import NamedModel
from zeropoint.plans.memory.typical import typical_model

# Sources of the sizes of a model's weights; values in the JSON of `plan`.
EXACT = "exact"  # the file
DESCRIBED = "config.json"
TYPICAL = "typical"  # only the size is known


@dataclass(frozen=True)
class ModelTensors:
    """Metadata and tensors, on which the choice of formats depends."""

    metadata: Mapping[str, object]
    tensors: Mapping[str, TensorLike]

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return weights_bytes(self.tensors.values())


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model to plan for, in its own formats."""

    label: str
    shape: ModelShape
    source: CheckpointLike
    #: EXACT, DESCRIBED or TYPICAL.
    basis: str
    #: The origin of the shape of a DESCRIBED model.
    origin: str = "its config.json"
    #: Number of weights.
    weights: int
    #: Bytes of all tensors.
    weights_bytes: int
    #: Bytes of the files, header and vocabulary included; None if unknown.
    file_bytes: int | None = None
    path: Path | None = None
    #: Text that the user typed for the model; empty if unknown.
    typed: str = ""
    #: Cache of the tensors in other formats, by preset or format.
    converted: dict[str, ModelTensors] = field(default_factory=dict, repr=False, compare=False)

    @property
    def quantized(self) -> bool:
        """Whether any tensor is quantized; such a model is planned for as it is."""
        return bool({t.format.name for t in self.source.tensors.values()} - UNQUANTIZED)

    @property
    def format(self) -> str:
        """The format that holds most of its bytes."""
        return dominant_format(self.source.tensors.values())


def dominant_format(tensors: Iterable[TensorLike]) -> str:
    """Return the name of the format that holds most bytes of some tensors; "F32" for none."""
    nbytes: dict[str, int] = {}
    for tensor in tensors:
        name = tensor.format.name
        nbytes[name] = nbytes.get(name, 0) + weights_bytes([tensor])
    return max(nbytes, key=lambda name: nbytes[name], default="F32")


def spec_of_headers(headers: ModelHeaders) -> ModelSpec:
    """Return the model that a file's or repository's headers describe.

    Raises CheckpointError or UnsupportedModel, with the key, if the number of layers, heads or the
    width cannot be known.
    """
    source: CheckpointLike
    if headers.config is None:
        source = ModelTensors(headers.metadata, headers.tensors)
        try:
            shape = read_shape(source)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"{headers.source}: {error}") from None
    else:
        described = read_config(headers.source, headers.config, name=headers.label)
        source, shape = ModelTensors(described.metadata, described.tensors), described.shape
    return ModelSpec(
        label=headers.label,
        shape=shape,
        source=source,
        basis=EXACT if headers.weights_bytes else DESCRIBED,
        weights=_count(source.tensors),
        weights_bytes=headers.weights_bytes or weights_bytes(source.tensors.values()),
        file_bytes=headers.file_bytes,
        path=headers.path,
    )


def spec_of_named(model: NamedModel) -> ModelSpec:
    """Return a well-known model, from the settings of its published config.json."""
    name = model.names[0]
    described = read_config(Path(name), model.config, name=name)
    return ModelSpec(
        label=name,
        shape=described.shape,
        source=described,
        basis=DESCRIBED,
        origin=model.source,
        weights=_count(described.tensors),
        weights_bytes=weights_bytes(described.tensors.values()),
    )


def spec_of_size(text: str) -> ModelSpec:
    """Return a typical model of a size such as "27B" or "30B-A3B". Raises RecipeError."""
    model = typical_model(text)
    return ModelSpec(
        label=text.strip(),
        shape=model.shape,
        source=model,
        basis=TYPICAL,
        weights=_count(model.tensors),
        weights_bytes=weights_bytes(model.tensors.values()),
        typed=text.strip(),
    )


def with_typed(spec: ModelSpec, text: str) -> ModelSpec:
    """Return a model with the text that the user typed for it, for commands in messages."""
    return replace(spec, typed=text)


def is_target(text: str) -> bool:
    """Return whether a text is the name of a preset or format."""
    if find_preset(text):
        return True
    try:
        target_format(text)
    except RecipeError:
        return False
    return True


def canonical_target(text: str) -> str:
    """Return the name of a preset or format as it is written; any other text unchanged."""
    preset = find_preset(text)
    if preset:
        return preset.name
    try:
        return target_format(text).name
    except RecipeError:  # the path of a recipe, or an unknown name, which `choose_formats` refuses
        return text


def in_format(spec: ModelSpec, target: str) -> ModelTensors:
    """Return a model's tensors in the formats of a preset, recipe or format.

    An importance matrix is assumed to be available, since presets below 3 bits need one. Raises
    RecipeError for a format that the model cannot be in.
    """
    if target not in spec.converted:
        choices = choose_formats(spec.source, target, imatrix=True)
        tensors = {choice.name: choice for choice in choices}
        spec.converted[target] = ModelTensors(spec.source.metadata, tensors)
    return spec.converted[target]


def _count(tensors: Mapping[str, TensorLike]) -> int:
    return sum(prod(tensor.shape) for tensor in tensors.values())
