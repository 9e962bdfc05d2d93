"""Which format each tensor gets, and why: the plan of a quantization.

For each tensor, in llama.cpp's order of precedence:

    never quantized      keeps its source's format, whatever is asked
    --token-embedding-type, --output-tensor-type
    --tensor-type        the first pattern that matches
    a recipe's rules, a preset's rules, or one format for all
    and then what stands in where rows are no multiple of the format's block

Names, shapes and metadata are read; weights are not. Whether an encoder for a format exists yet is
not asked here: the plan is right either way, and `quantizers` refuses what it cannot encode.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypedDict, Unpack

from zeropoint.checkpoints import TensorLike
from zeropoint.checkpoints.names import OUTPUT
from zeropoint.errors import FormatError, RecipeError
from zeropoint.formats import UNQUANTIZED, Format, find_format
from zeropoint.plans.formats.model_facts import CheckpointLike, ModelFacts
from zeropoint.plans.formats.names import fitting, no_target, target_format
from zeropoint.plans.formats.overrides import TensorType, first_match
from zeropoint.plans.formats.presets import (
    FALLBACKS,
    HIGH,
    NEED_IMPORTANCE,
    Preset,
    TensorPosition,
    find_preset,
    find_rule,
)  # fmt: skip
from zeropoint.plans.formats.recipe import KEEP, Recipe
from zeropoint.plans.formats.roles import (
    TOKEN_EMBEDDINGS,
    Role,
    in_order,
    layer_of,
    role_of,
    why_never_quantized,
)  # fmt: skip

COUNTED = frozenset({Role.VALUES, Role.FFN_UP, Role.FFN_GATE, Role.FFN_DOWN})
HIGH_PRESETS = frozenset(HIGH.split())  # all but those of one or two bits, and MXFP4_MOE


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One tensor's format in the output. Also what a writer needs to know of the tensor."""

    name: str
    shape: tuple[int, ...]  # (…, rows, columns)
    source: Format
    wanted: Format  # what was asked for
    format: Format  # what it gets; differs from `wanted` where the shape does not fit
    reason: str  # in plain words, without a full stop
    needs_importance: bool = False  # without importance the result would be noise

    @property
    def fallback(self) -> bool:
        """Whether the shape forced another format than the one wanted."""
        return self.format.name != self.wanted.name

    @property
    def requantizes(self) -> bool:
        """Whether a source that is already quantized gets another format: it loses twice."""
        return self.source.name not in UNQUANTIZED and self.changes

    @property
    def changes(self) -> bool:
        """Whether the tensor is encoded anew; otherwise its bytes are copied."""
        return self.format.name != self.source.name

    @property
    def elements(self) -> int:
        """How many weights."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor in its new format."""
        return self.elements // self.format.block_size * self.format.block_bytes


class FormatOptions(TypedDict, total=False):
    """Options of `choose_formats`, with llama-quantize's names and meanings."""

    pure: bool  # no rules: the preset's base format for every quantizable tensor
    tensor_types: Sequence[TensorType | tuple[str, str]]
    output_tensor_type: str | None
    token_embedding_type: str | None
    leave_output: bool  # output.weight keeps its source's format


def choose_formats(
    checkpoint: CheckpointLike,
    to: str | Recipe,
    *,
    imatrix: bool = False,
    **options: Unpack[FormatOptions],
) -> list[Choice]:
    """Choose a format for each tensor of a checkpoint, in the checkpoint's order.

    `to` is a preset, a recipe, the path of a `.recipe` file, or a format's name (every quantizable
    tensor gets it). A name that is a preset and a format too (Q4_0, Q6_K, IQ4_NL, …) is the preset,
    as in llama.cpp; with `pure` it is the format. `imatrix` tells whether importance will be given:
    some presets choose differently then.

    Raises RecipeError for names that do not exist, patterns that do not compile, tensors without a
    rule, and shapes that nothing fits.
    """
    return FormatChooser(checkpoint, to, imatrix=imatrix, **options).choices()


class FormatChooser:
    """The state of one plan: presets count tensors as they meet them."""

    def __init__(
        self,
        checkpoint: CheckpointLike,
        to: str | Recipe,
        *,
        imatrix: bool,
        **options: Unpack[FormatOptions],
    ) -> None:
        self.tensors = checkpoint.tensors
        self.facts = ModelFacts.of(checkpoint.metadata, self.tensors)
        self.imatrix = imatrix
        self.options = options
        self.types = [
            entry if isinstance(entry, TensorType) else TensorType.of(*entry)
            for entry in options.get("tensor_types", ())
        ]
        self.output_type = _named(options.get("output_tensor_type"))
        self.embedding_type = _named(options.get("token_embedding_type"))
        self.recipe, self.preset, self.base = _read_target(to, pure=options.get("pure", False))
        self.met: dict[Role, int] = {}  # how many tensors of a role had a rule looked up
        self.values = sum(role_of(name) is Role.VALUES for name in self.tensors)

    def choices(self) -> list[Choice]:
        """Walk in llama.cpp's order, because rules count; return the checkpoint's order."""
        if self.recipe:
            self._check_complete(self.recipe)
        found = {name: self.choose(self.tensors[name]) for name in in_order(self.tensors)}
        return [found[name] for name in self.tensors]

    def choose(self, tensor: TensorLike) -> Choice:
        """Choose one tensor's format."""
        kept = self._kept(tensor)
        if kept is not None:
            return Choice(name=tensor.name, shape=tensor.shape, source=tensor.format,
                          wanted=tensor.format, format=tensor.format, reason=kept)  # fmt: skip
        wanted, reason, explicit = self._wanted(tensor)
        wanted, format, note = _fit(wanted, tensor, replaceable=not explicit)
        return Choice(
            name=tensor.name, shape=tensor.shape, source=tensor.format, wanted=wanted,
            format=format, reason=reason + note, needs_importance=self._needs(tensor.name, format),
        )  # fmt: skip

    def _kept(self, tensor: TensorLike) -> str | None:
        if self.preset and self.preset.base is None:
            return f"{self.preset.name} copies every tensor"
        if tensor.name == OUTPUT and self.options.get("leave_output"):
            return "the output matrix was to be left as it is"
        return why_never_quantized(tensor.name, tensor.shape, self.facts.architecture)

    def _wanted(self, tensor: TensorLike) -> tuple[Format, str, bool]:
        """Return the format, the reason, and whether it may not be replaced if it does not fit."""
        role = role_of(tensor.name)
        named = first_match(self.types, tensor.name)
        listed = tensor.name == TOKEN_EMBEDDINGS[1] and named is not None
        if self.embedding_type and role is Role.TOKEN_EMBEDDING and not listed:
            return self.embedding_type, "--token-embedding-type names it", True
        if self.output_type and role is Role.OUTPUT:
            return self.output_type, "--output-tensor-type names it", True
        if self.base and self.base.name in UNQUANTIZED:
            unused = "; --tensor-type counts only beside quantized formats" if named else ""
            return self.base, f"{self.base.name} for every matrix{unused}", False
        if named:
            return named.format, f"--tensor-type {named.pattern}={named.format.name}", False
        pure = self.options.get("pure")
        if self.output_type and self.facts.tied and role is Role.TOKEN_EMBEDDING and not pure:
            reason = "--output-tensor-type names it: there is no output.weight beside it"
            return self.output_type, reason, False
        if self.recipe:
            return (*self._by_recipe(self.recipe, tensor), False)
        assert self.base is not None
        if self.preset and not pure:
            return (*self._by_preset(self.preset, self.base, tensor), False)
        return self.base, f"{self.base.name} for every quantizable tensor", False

    def _by_recipe(self, recipe: Recipe, tensor: TensorLike) -> tuple[Format, str]:
        rule = recipe.rule_for(tensor.name)
        assert rule is not None  # _check_complete
        where = f"line {rule.line} of the recipe" if rule.line else "the recipe"
        format = tensor.format if rule.format == KEEP else target_format(rule.format)
        return format, f"{where}: {rule.pattern} {rule.format}"

    def _check_complete(self, recipe: Recipe) -> None:
        if self.options.get("pure"):
            raise RecipeError("--pure and a recipe contradict each other: leave one out")
        missing = [
            tensor.name
            for tensor in self.tensors.values()
            if recipe.rule_for(tensor.name) is None and self._kept(tensor) is None
            and first_match(self.types, tensor.name) is None
        ]  # fmt: skip
        if missing:
            raise RecipeError(f"no rule matches {_listed(missing)}; end the recipe with `* FORMAT`")

    def _by_preset(self, preset: Preset, base: Format, tensor: TensorLike) -> tuple[Format, str]:
        role, shared = role_of(tensor.name), ""
        if role is Role.TOKEN_EMBEDDING and self.facts.tied:
            role, shared = Role.OUTPUT, " (the token embedding, as there is no output.weight)"
        place = self._place(preset, role, base, tensor)
        rule = find_rule(preset, role, place)
        format = target_format(rule.format) if rule and rule.format else base
        where = _where(tensor.name, place, role)
        if rule is None or rule.format is None:
            reason = f"{where}: {format.name} is what {preset.name} is made of"
        else:
            words = "".join(f" {condition.words}" for condition in rule.conditions)
            whom = (rule.role or role).value
            reason = f"{where}: {preset.name} gives {format.name} to {whom}{shared}{words}"
        large = self.facts.seventy_b and role is Role.VALUES and format.name in ("Q3_K", "Q4_K")
        if large and preset.name in HIGH_PRESETS:
            return find_format("Q5_K"), f"{where}: {preset.name} gives Q5_K to values of 70B models"
        return format, reason

    def _place(
        self, preset: Preset, role: Role, base: Format, tensor: TensorLike
    ) -> TensorPosition:
        index, count = layer_of(tensor.name) or 0, self.facts.layers
        if role in COUNTED:
            index = self.met.get(role, 0)
            self.met[role] = index + 1
            count = self.values if role is Role.VALUES else self.facts.layers
        by_name = role in COUNTED and role is not Role.VALUES and preset.name in HIGH_PRESETS
        if by_name and self.facts.experts > 1:
            index = _checked_layer(tensor.name, count)
        return TensorPosition(
            facts=self.facts, name=tensor.name, index=index, count=count, importance=self.imatrix,
            stacked=len(tensor.shape) > 2 and tensor.shape[-3] > 1,
            whole=tensor.shape[-1] % base.block_size == 0,
        )  # fmt: skip

    def _needs(self, name: str, format: Format) -> bool:
        if name == OUTPUT or name in TOKEN_EMBEDDINGS:
            return False  # no importance is ever collected for them
        small = self.preset is not None and self.preset.name == "Q2_K_S"
        return format.name in NEED_IMPORTANCE or (small and format.name == "Q2_K")


def _named(name: str | None) -> Format | None:
    return target_format(name) if name else None


def _read_target(
    to: str | Recipe, *, pure: bool
) -> tuple[Recipe | None, Preset | None, Format | None]:
    """Return one of: a recipe; a preset and its base format; a format for every tensor."""
    if isinstance(to, str) and to.endswith(".recipe"):
        to = Recipe.load(to)
    if isinstance(to, Recipe):
        if pure:
            raise RecipeError("--pure and a recipe contradict each other: leave one out")
        return to, None, None
    preset = find_preset(to)
    if preset:
        return None, preset, target_format(preset.base) if preset.base else None
    try:
        return None, None, target_format(to)
    except RecipeError:
        raise RecipeError(no_target(to)) from None


def _fit(wanted: Format, tensor: TensorLike, *, replaceable: bool) -> tuple[Format, Format, str]:
    """Return what is wanted and what the shape allows, sized, and what to add to the reason."""
    try:
        sized = wanted.for_shape(tensor.shape)
    except FormatError:
        pass
    else:
        return sized, sized, ""
    row, block = tensor.shape[-1], wanted.block_size
    stand_in = FALLBACKS.get(wanted.name)
    if not replaceable or (stand_in is None and block > 32):
        how = " (--tensor-type PATTERN=TYPE or a recipe gives it one of them)" * replaceable
        raise RecipeError(
            f"{wanted.name} cannot store {tensor.name}: its rows of {row} are no multiple of the "
            f"block of {block}, and nothing stands in for it here; {fitting(row)}{how}"
        )
    format = find_format(stand_in or wanted.name)
    if row % format.block_size:
        format = find_format("F16")
    note = f"; its rows of {row} are no multiple of {block}, so it gets {format.name}"
    return wanted, format, note


def _where(name: str, place: TensorPosition, role: Role) -> str:
    """Say which tensor it is, and its number where that is not its layer."""
    layer = layer_of(name)
    short = name.removesuffix(".weight")
    if layer is None:
        return short
    of_layer = f"{short.partition('.')[2].partition('.')[2]} of layer {layer}"
    numbered = role in COUNTED and (place.index, place.count) != (layer, place.facts.layers)
    return f"{of_layer} (number {place.index + 1} of {place.count})" if numbered else of_layer


def _checked_layer(name: str, layers: int) -> int:
    layer = layer_of(name)
    if layer is None or layer >= layers:
        raise RecipeError(
            f"{name}: presets need the layer of each expert tensor (blk.0 … blk.{layers - 1}), and "
            "llama.cpp refuses this one; use a recipe or --pure"
        )
    return layer


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def check_importance(choices: Iterable[Choice], known: Iterable[str] = ()) -> None:
    """Raise RecipeError if a tensor needs importance and `known` does not name it."""
    have = frozenset(known)
    poor = [c for c in choices if c.needs_importance and c.changes and c.name not in have]
    if poor:
        raise RecipeError(
            f"{poor[0].format.name} without importance would be noise, and there is none for "
            f"{_listed([choice.name for choice in poor])}; give --imatrix (see `zeropoint "
            "calibrate`), or choose a format that needs none, such as Q2_K or Q3_K"
        )


def formats_of(choices: Iterable[Choice]) -> Mapping[str, Format]:
    """Return name → format in the output."""
    return {choice.name: choice.format for choice in choices}
