"""The formats that each tensor may have, and what each of them costs in bytes.

A format is on the menu of a tensor if

    - there is an encoder for it, and it is a type of GGUF, so that llama.cpp loads it;
    - its blocks divide the rows: rows that no block of 256 weights divides keep the formats with
      blocks of 32, 64 and 128;
    - it is smaller than the source's format, which is always the last entry;
    - it needs no importance, or importance will exist;
    - the profile does not leave it out as slow (`plans.speed.format_speed`).

Every tensor that may be quantized has a menu: embedding, output matrix and experts too. Norms,
routers and the other tensors of `plans.formats.roles` keep the format of the source, and are not
on the menu. A tied output matrix is one tensor with the embedding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from zeropoint.allocation.problem import Assignment, FormatOption, LossTable, TensorGroup
from zeropoint.checkpoints import NewTensor, TensorLike
from zeropoint.errors import RecipeError
from zeropoint.formats import FORMATS, UNQUANTIZED, find_format
from zeropoint.kernels import has_encoder
from zeropoint.plans import Recipe, recipe_of
from zeropoint.plans.formats.model_facts import CheckpointLike
from zeropoint.plans.formats.names import target_format
from zeropoint.plans.formats.presets import NEED_IMPORTANCE
from zeropoint.plans.formats.recipe import KEEP
from zeropoint.plans.formats.roles import Role, layer_of, role_of, why_never_quantized
from zeropoint.plans.speed.format_speed import slow_formats

# Matrices with the same input, which some runtimes multiply as one.
FUSED_ROLES = (
    frozenset({Role.QUERIES, Role.KEYS, Role.VALUES}),
    frozenset({Role.FFN_GATE, Role.FFN_UP}),
)
_FUSED_PARTS = ("attn_q", "attn_k", "attn_v", "ffn_gate", "ffn_up")


@dataclass(frozen=True)
class MenuEntry:
    """Tensors that share a format, and the formats that they may have."""

    names: tuple[str, ...]
    #: In the order of bytes; those of the same bytes in the order of GGUF's types.
    formats: tuple[str, ...]
    #: By format: bytes of all the tensors.
    nbytes: tuple[int, ...]


@dataclass(frozen=True)
class Menu:
    """The formats that the tensors of a model may have."""

    entries: tuple[MenuEntry, ...]
    #: By tensor on the menu: the format of the source.
    sources: Mapping[str, str]

    def encodings(self) -> dict[str, tuple[str, ...]]:
        """Return by tensor the formats whose loss is not 0: all but the format of the source."""
        return {
            name: tuple(format for format in entry.formats if format != self.sources[name])
            for entry in self.entries
            for name in entry.names
        }

    def groups(self, losses: LossTable) -> tuple[TensorGroup, ...]:
        """Return the problem for the solver. Tensors that keep their format lose nothing.

        The options have the order of the menu. Raises KeyError for a missing loss.
        """
        return tuple(
            TensorGroup(
                entry.names,
                tuple(
                    FormatOption(format, nbytes, self._loss(entry.names, format, losses))
                    for format, nbytes in zip(entry.formats, entry.nbytes, strict=True)
                ),
            )
            for entry in self.entries
        )

    def _loss(self, names: Sequence[str], format: str, losses: LossTable) -> float:
        return sum(losses[name][format] for name in names if format != self.sources[name])

    def assignment(self, choices: Sequence[int]) -> dict[str, str]:
        """Return the format of each tensor for one option of each entry."""
        chosen = zip(self.entries, choices, strict=True)
        return {name: entry.formats[at] for entry, at in chosen for name in entry.names}

    def smallest(self) -> dict[str, str]:
        """Return the formats with the fewest bytes."""
        return self.assignment([0] * len(self.entries))


def make_menu(
    checkpoint: CheckpointLike,
    profile: str = "any",
    *,
    importance: bool,
    formats: Sequence[str] | None = None,
    tie_fused: bool = False,
) -> Menu:
    """Return the formats that each tensor of a checkpoint may have.

    `profile` is "any", "cpu" or "gpu". `importance` is whether the importance of input columns will
    exist when tensors are encoded. `formats` are the only ones to choose from, whatever the
    profile; "keep" among them is the format of the source. A tensor that fits none of them keeps
    its format. `tie_fused` gives one format to queries, keys and values of a layer, and one to gate
    and up, of dense layers and of experts.

    Raises RecipeError for an unknown profile or format, and a format without an encoder.
    """
    allowed = _allowed(profile, importance=importance, formats=formats)
    keep = formats is None or any(name.lower() == KEEP for name in formats)
    architecture = str(checkpoint.metadata.get("general.architecture", ""))
    menus = {
        tensor.name: _sizes(tensor, allowed, keep=keep)
        for tensor in checkpoint.tensors.values()
        if why_never_quantized(tensor.name, tensor.shape, architecture) is None
    }
    grouped = _fused(menus) if tie_fused else [(name,) for name in menus]
    return Menu(
        tuple(_entry(names, menus) for names in grouped),
        {name: checkpoint.tensors[name].format.name for name in menus},
    )


def recipe_for(checkpoint: CheckpointLike, assignment: Assignment) -> Recipe:
    """Return the recipe that gives each tensor its format of an assignment."""
    architecture = str(checkpoint.metadata.get("general.architecture", ""))
    return recipe_of(assigned_tensors(checkpoint, assignment), architecture)


def assigned_tensors(checkpoint: CheckpointLike, assignment: Assignment) -> list[NewTensor]:
    """Return all tensors of a checkpoint, those of an assignment in their new formats."""
    return [
        NewTensor(
            tensor.name,
            tensor.shape,
            find_format(assignment[tensor.name]) if tensor.name in assignment else tensor.format,
        )
        for tensor in checkpoint.tensors.values()
    ]


def _allowed(profile: str, *, importance: bool, formats: Sequence[str] | None) -> list[str]:
    """Return the names of formats that any tensor may have, in the order of GGUF's types."""
    slow = slow_formats(profile)
    if formats is None:
        names = {name for name in FORMATS if name not in UNQUANTIZED | slow and has_encoder(name)}
    else:
        names = {target_format(name).name for name in formats if name.lower() != KEEP}
        unknown = sorted(name for name in names if name not in FORMATS or not has_encoder(name))
        if unknown:
            raise RecipeError(f"no GGUF file with {', '.join(unknown)} can be written")
    without = names & NEED_IMPORTANCE
    if without and not importance:
        if formats is not None:
            raise RecipeError(
                f"{', '.join(sorted(without))} without importance gives noise; leave it out, or "
                "let importance be collected"
            )
        names -= NEED_IMPORTANCE
    return [name for name in FORMATS if name in names]


def _sizes(tensor: TensorLike, allowed: Sequence[str], *, keep: bool) -> dict[str, int]:
    """Return the formats of a tensor with their bytes, in the order of the menu."""

    def nbytes(name: str) -> int:
        format = find_format(name)
        return prod(tensor.shape) // format.block_size * format.block_bytes

    own = tensor.format.name
    fitting = [
        name
        for name in allowed
        if name != own and tensor.shape[-1] % FORMATS[name].block_size == 0
        and nbytes(name) < nbytes(own)
    ]  # fmt: skip
    if keep or not fitting:
        fitting.append(own)
    return {name: nbytes(name) for name in sorted(fitting, key=nbytes)}


def _fused(menus: Mapping[str, Mapping[str, int]]) -> list[tuple[str, ...]]:
    """Return the names of each group, in order; tensors without a common format stay apart."""
    groups: dict[object, list[str]] = {}
    for name in menus:
        groups.setdefault(_fused_key(name), []).append(name)
    return [
        names
        for group in groups.values()
        for names in ([tuple(group)] if _common(group, menus) else [(name,) for name in group])
    ]


def _fused_key(name: str) -> object:
    """Return what fused tensors have in common: layer, roles, and the end of the name."""
    role, layer = role_of(name), layer_of(name)
    part = next((part for part in _FUSED_PARTS if f".{part}" in name), None)
    kind = next((number for number, roles in enumerate(FUSED_ROLES) if role in roles), None)
    if layer is None or part is None or kind is None:
        return name
    return layer, kind, name.partition(f".{part}")[2]


def _common(names: Sequence[str], menus: Mapping[str, Mapping[str, int]]) -> list[str]:
    first, *others = (menus[name] for name in names)
    return [format for format in first if all(format in other for other in others)]


def _entry(names: tuple[str, ...], menus: Mapping[str, Mapping[str, int]]) -> MenuEntry:
    formats = _common(names, menus)
    nbytes = {format: sum(menus[name][format] for name in names) for format in formats}
    ordered = sorted(formats, key=lambda format: nbytes[format])
    return MenuEntry(names, tuple(ordered), tuple(nbytes[format] for format in ordered))
