"""What a person asks about: a file, a folder, a model on the Hub, a config.json, or a size.

Whatever it is, a `Subject` has its shape and its tensors with their formats; no weight is read. Of
a model on the Hub only headers are fetched, by range.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from pathlib import Path

from zeropoint.checkpoints import TensorLike, open_checkpoint
from zeropoint.checkpoints.base import Checkpoint
from zeropoint.checkpoints.files.file_kind import check_use
from zeropoint.checkpoints.folder import CONFIG, CONFIG_BYTES, read_json
from zeropoint.checkpoints.folder import read_config as read_config_file
from zeropoint.checkpoints.hub.download import find_local, is_hub_id, open_remote
from zeropoint.checkpoints.huggingface import as_gguf
from zeropoint.errors import CheckpointError, RecipeError, UnsupportedModel, ZeropointError
from zeropoint.formats import UNQUANTIZED
from zeropoint.plans.formats.choose import choose_formats
from zeropoint.plans.formats.model_facts import CheckpointLike
from zeropoint.plans.formats.names import no_target, target_format
from zeropoint.plans.formats.presets import find_preset
from zeropoint.plans.memory.cache_shape import Shape, read_shape, weights_bytes
from zeropoint.plans.memory.configs import read_config
from zeropoint.plans.memory.layers import Blueprint
from zeropoint.plans.memory.typical import is_size, typical

EXACT = "exact"  # read off the file
DESCRIBED = "config.json"  # put together from a configuration
TYPICAL = "typical"  # nothing is known but the size


@dataclass(frozen=True)
class Made:
    """Metadata and tensors, which is all that a choice of formats reads."""

    metadata: Mapping[str, object]
    tensors: Mapping[str, TensorLike]

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all blocks."""
        return weights_bytes(self.tensors.values())


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model that is planned for, as it is."""

    label: str
    shape: Shape
    source: CheckpointLike
    basis: str  # of its weights: EXACT, DESCRIBED or TYPICAL
    weights: int  # how many
    weights_bytes: int  # as they are
    file_bytes: int | None = None  # header and vocabulary included
    path: Path | None = None
    asked: str = ""  # what a person typed for it
    made: dict[str, Made] = field(default_factory=dict, repr=False, compare=False)  # by format

    @property
    def quantized(self) -> bool:
        """Whether it has already lost something: then it is planned for as it is."""
        return bool({t.format.name for t in self.source.tensors.values()} - UNQUANTIZED)

    @property
    def format(self) -> str:
        """The format that most of its bytes are in."""
        return mostly(self.source.tensors.values())


def mostly(tensors: Iterable[TensorLike]) -> str:
    """Return the format that most bytes of some tensors are in."""
    found: dict[str, int] = {}
    for tensor in tensors:
        found[tensor.format.name] = found.get(tensor.format.name, 0) + weights_bytes([tensor])
    return max(found, key=lambda name: found[name], default="F32")


def describe(text: str) -> tuple[Subject, str | None]:
    """Return what `text` names, and the preset or format after its last colon, if one is there.

    Raises CheckpointError, UnsupportedModel or RecipeError, one sentence that says what would work.
    """
    subject, to = _find(text)
    return replace(subject, asked=text), to


def _find(text: str) -> tuple[Subject, str | None]:
    if text and Path(text).exists():
        return from_path(Path(text)), None
    name, colon, to = text.rpartition(":")
    if colon and name and is_target(to) and (is_size(name) or Path(name).exists()):
        return _find(name)[0], to
    if colon and is_size(name):
        raise RecipeError(no_target(to) if to else f"{text!r} names no format: {name}:Q4_K_M")
    if is_size(text):
        return from_size(text), None
    if is_hub_id(text):
        return from_hub(text), None
    raise CheckpointError(
        text, "is no file, no folder, no size such as 27B and no model on the hub (org/name)"
    )


def is_target(text: str) -> bool:
    """Tell whether a text is a preset's or format's name, which needs no file."""
    if find_preset(text):
        return True
    try:
        target_format(text)
    except RecipeError:
        return False
    return True


def from_size(text: str) -> Subject:
    """Return a typical model of this size."""
    model = typical(text)
    return Subject(
        label=text.strip(), shape=model.shape, source=model, basis=TYPICAL,
        weights=_count(model.tensors), weights_bytes=weights_bytes(model.tensors.values()),
    )  # fmt: skip


def from_path(path: Path) -> Subject:
    """Return a model on this machine: a GGUF file, a folder, or a config.json."""
    config = path if path.suffix == ".json" else path / CONFIG
    if path.suffix == ".json" and not path.name.endswith(".safetensors.index.json"):
        return from_config(config, label=path.parent.name or path.name)
    if path.is_dir() and config.is_file() and not any(path.glob("*.safetensors")):
        if not any(path.glob("*.gguf")):
            return from_config(config, label=path.resolve().name)
    opened = open_checkpoint(path)
    return from_checkpoint(opened, label=path.stem if path.is_file() else path.resolve().name)


def from_config(path: Path, *, label: str) -> Subject:
    """Return the model that a config.json describes."""
    return from_description(read_json(path, CONFIG_BYTES), path, label=label)


def from_description(config: object, path: Path, *, label: str) -> Subject:
    """Return the model that the contents of a config.json describe; `path` stands in errors."""
    if not isinstance(config, dict):
        raise CheckpointError(path, "is no config.json of a model: no object")
    model = read_config(path, config, name=label)
    return Subject(
        label=label, shape=model.shape, source=model, basis=DESCRIBED, path=path,
        weights=_count(model.tensors), weights_bytes=weights_bytes(model.tensors.values()),
    )  # fmt: skip


def from_checkpoint(opened: Checkpoint, *, label: str) -> Subject:
    """Return an opened model. A folder is seen as the GGUF file that it would become."""
    check_use(opened.path, opened, "plan")
    with opened:
        tensors: Mapping[str, TensorLike] = opened.tensors
        exact = weights_bytes(tensors.values())
        source: CheckpointLike = opened
        basis = EXACT
        if opened.kind == "safetensors":
            folder = opened.path if opened.path.is_dir() else opened.path.parent
            source = folder_source(opened, folder, label)
        return Subject(
            label=label,
            shape=source.shape if isinstance(source, Blueprint) else _shape_of(opened, source),
            source=Made(source.metadata, source.tensors), basis=basis,
            weights=_count(source.tensors), weights_bytes=exact, file_bytes=opened.file_bytes,
            path=opened.path,
        )  # fmt: skip


def _shape_of(opened: Checkpoint, source: CheckpointLike) -> Shape:
    try:
        return read_shape(source)
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{opened.path}: {error}") from None


def folder_source(opened: Checkpoint, folder: Path, label: str) -> CheckpointLike:
    """Return a folder's tensors under GGUF names: its own, or those its config.json describes."""
    try:
        return as_gguf(opened)
    except ZeropointError:  # a family that cannot be run here, or no tokenizer beside it
        config = read_config_file(folder)
        if not config:
            raise UnsupportedModel(
                f"{folder}: has no config.json beside its tensors, so nobody knows what a token "
                "costs"
            ) from None
        return read_config(folder / CONFIG, config, name=label)


def from_hub(text: str) -> Subject:
    """Return a model on the Hub, of which only headers are read."""
    local = find_local(text)
    if local is not None:
        return from_path(local)
    found = open_remote(text)
    check_use(text, found, "plan")
    label = text.partition("/")[2]
    if found.config is None:
        source: CheckpointLike = Made(found.metadata, found.tensors)
        shape = read_shape(source)
    else:
        model = read_config(Path(f"{text}/config.json"), found.config, name=label)
        source, shape = model, model.shape
    described = weights_bytes(source.tensors.values())
    return Subject(
        label=label, shape=shape, source=source, weights=_count(source.tensors),
        basis=EXACT if found.weights_bytes else DESCRIBED,
        weights_bytes=found.weights_bytes or described, file_bytes=found.file_bytes or None,
    )  # fmt: skip


def _count(tensors: Mapping[str, TensorLike]) -> int:
    return sum(prod(tensor.shape) for tensor in tensors.values())


def canonical(to: str) -> str:
    """Return a preset's or format's name as it is written; other text as it is."""
    preset = find_preset(to)
    if preset:
        return preset.name
    try:
        return target_format(to).name
    except RecipeError:  # a recipe's path, or nonsense: `choose_formats` tells
        return to


def requantized(subject: Subject, to: str) -> Made:
    """Return a subject with its formats chosen by a preset, recipe or format.

    Importance is taken to be at hand, as presets below 3 bits need it.
    """
    if to not in subject.made:
        choices = choose_formats(subject.source, to, imatrix=True)
        tensors = {choice.name: choice for choice in choices}
        subject.made[to] = Made(subject.source.metadata, tensors)
    return subject.made[to]
