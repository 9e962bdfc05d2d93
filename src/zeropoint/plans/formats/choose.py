"""Chooses the format of each tensor of a model, with the reason.

The first of these that applies to a tensor wins, as in llama.cpp:

    never quantized      the tensor keeps the format of its source, whatever is requested
    --token-embedding-type, --output-tensor-type
    --tensor-type        the first pattern that matches
    the rules of a recipe or preset, or one format for all tensors

If the rows of the tensor are not a multiple of that format's block, a fallback format replaces it.

The choice depends on names, shapes and metadata, not on weights. It does not depend on whether an
encoder for the format exists: `quantizers` refuses a format that it cannot encode.
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
    NEED_IMPORTANCE,
    OTHER_PRESETS,
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

# Roles whose tensors are counted as they come, because rules refer to that number.
COUNTED_ROLES = frozenset({Role.VALUES, Role.FFN_UP, Role.FFN_GATE, Role.FFN_DOWN})
# All presets except those of one or two bits, and MXFP4_MOE.
HIGH_PRESETS = frozenset(OTHER_PRESETS.split())
MAX_FALLBACK_BLOCK = 32  # weights; formats with larger blocks need an entry in FALLBACKS
PURE_RECIPE = "the option pure (--pure) and a recipe contradict each other: remove one of them"
DRAFT_FORMAT = "Q8_0"  # the smallest that layers for multi-token prediction get by default
MAX_LISTED = 3  # tensors named in an error


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The format of one tensor in the output, and all facts about it that a writer needs."""

    name: str
    #: (…, rows, columns)
    shape: tuple[int, ...]
    source: Format
    #: The format that was requested.
    wanted: Format
    #: The format that the tensor gets; a fallback if its shape does not fit `wanted`.
    format: Format
    #: A phrase without a full stop.
    reason: str
    #: Whether the format gives noise without an importance matrix.
    needs_importance: bool = False

    @property
    def fallback(self) -> bool:
        """Whether the shape requires another format than the requested one."""
        return self.format.name != self.wanted.name

    @property
    def requantizes(self) -> bool:
        """Whether a quantized tensor gets another format, which adds a second loss."""
        return self.source.name not in UNQUANTIZED and self.changes

    @property
    def changes(self) -> bool:
        """Whether the tensor is encoded; otherwise its bytes are copied."""
        return self.format.name != self.source.name

    @property
    def elements(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of the tensor in its new format."""
        return self.elements // self.format.block_size * self.format.block_bytes


class FormatOptions(TypedDict, total=False):
    """Options of `choose_formats`, with the names and meanings of llama-quantize."""

    #: Ignore the rules: every tensor that may be quantized gets the preset's base format.
    pure: bool
    #: Patterns and formats; the first pattern that matches a tensor wins.
    tensor_types: Sequence[TensorType | tuple[str, str]]
    output_tensor_type: str | None
    token_embedding_type: str | None
    #: Keep the source's format of output.weight.
    leave_output: bool
    #: Give layers for multi-token prediction the format that llama-quantize gives them, even if it
    #: is smaller than Q8_0. llama-quantize has no such option.
    small_drafts: bool


def choose_formats(
    checkpoint: CheckpointLike,
    to: str | Recipe,
    *,
    imatrix: bool = False,
    **options: Unpack[FormatOptions],
) -> list[Choice]:
    """Return the format of each tensor of a checkpoint, in the checkpoint's order.

    `to` is a preset, a recipe, the path of a `.recipe` file, or a format for every tensor that may
    be quantized. A name of both a preset and a format (Q4_0, Q6_K, IQ4_NL, …) is the preset, as in
    llama.cpp; with `pure` it is the format. `imatrix` is whether an importance matrix will be
    given, because some presets choose differently then.

    Raises RecipeError for an unknown name, a pattern that is not valid, a tensor without a rule,
    and a shape that no format fits.
    """
    return FormatChooser(checkpoint, to, imatrix=imatrix, **options).choices()


class FormatChooser:
    """Chooses the formats of one model; it counts tensors, because rules of presets do."""

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
        # The blocks of a folder are copied when it becomes a file of 16 or 32 bits.
        self.packed = getattr(checkpoint, "kind", "") == "safetensors"
        self.imatrix = imatrix
        self.options = options
        self.types = [
            entry if isinstance(entry, TensorType) else TensorType.of(*entry)
            for entry in options.get("tensor_types", ())
        ]
        self.output_type = _named(options.get("output_tensor_type"))
        self.embedding_type = _named(options.get("token_embedding_type"))
        self.recipe, self.preset, self.base = _read_target(to, pure=options.get("pure", False))
        self.counts: dict[Role, int] = {}  # tensors of a role whose rule was looked up
        self.value_tensors = sum(role_of(name) is Role.VALUES for name in self.tensors)

    def choices(self) -> list[Choice]:
        """Return all choices in the checkpoint's order; they are made in llama.cpp's order."""
        if self.recipe:
            self._check_complete(self.recipe)
        by_name = {name: self.choose(self.tensors[name]) for name in in_order(self.tensors)}
        return [by_name[name] for name in self.tensors]

    def choose(self, tensor: TensorLike) -> Choice:
        """Return the format of one tensor."""
        unchanged = self._why_unchanged(tensor)
        if unchanged is not None:
            return Choice(name=tensor.name, shape=tensor.shape, source=tensor.format,
                          wanted=tensor.format, format=tensor.format, reason=unchanged)  # fmt: skip
        wanted, reason, explicit = self._wanted(tensor)
        wanted, format, note = _fit(wanted, tensor, replaceable=not explicit)
        return Choice(
            name=tensor.name,
            shape=tensor.shape,
            source=tensor.format,
            wanted=wanted,
            format=format,
            reason=reason + note,
            needs_importance=self._needs_importance(tensor.name, format),
        )

    def _why_unchanged(self, tensor: TensorLike) -> str | None:
        if self.preset and self.preset.base is None:
            return f"{self.preset.name} copies every tensor"
        if tensor.name == OUTPUT and self.options.get("leave_output"):
            return "--leave-output-tensor keeps the output matrix"
        return why_never_quantized(tensor.name, tensor.shape, self.facts.architecture)

    def _wanted(self, tensor: TensorLike) -> tuple[Format, str, bool]:
        """Return the format, the reason, and whether a fallback may not replace the format."""
        role = role_of(tensor.name)
        named = first_match(self.types, tensor.name)
        per_layer = tensor.name == TOKEN_EMBEDDINGS[1] and named is not None
        if self.embedding_type and role is Role.TOKEN_EMBEDDING and not per_layer:
            return self.embedding_type, "--token-embedding-type names it", True
        if self.output_type and role is Role.OUTPUT:
            return self.output_type, "--output-tensor-type names it", True
        if self.base and self.base.name in UNQUANTIZED:
            if self.packed and tensor.format.name not in UNQUANTIZED:
                return tensor.format, f"the folder has {tensor.format.name} blocks", False
            unused = "; --tensor-type applies only with quantized formats" if named else ""
            return self.base, f"{self.base.name} for every matrix{unused}", False
        if named:
            return named.format, f"--tensor-type {named.pattern}={named.format.name}", False
        pure = self.options.get("pure")
        if self.output_type and self.facts.tied and role is Role.TOKEN_EMBEDDING and not pure:
            reason = "--output-tensor-type names it: the model has no output.weight"
            return self.output_type, reason, False
        if self.recipe:
            return (*self._by_recipe(self.recipe, tensor), False)
        assert self.base is not None
        if self.preset and not pure:
            found = self._by_preset(self.preset, self.base, tensor)
        else:
            found = self.base, f"{self.base.name} for every quantizable tensor"
        return (*self._kept_draft(tensor, *found), False)

    def _kept_draft(self, tensor: TensorLike, wanted: Format, reason: str) -> tuple[Format, str]:
        """Return Q8_0 instead of a smaller format for the layers of a draft head.

        What smaller formats cost in wrong guesses has not been measured. llama-quantize has no such
        rule.
        """
        layer, least = layer_of(tensor.name), find_format(DRAFT_FORMAT)
        if layer not in self.facts.drafts or self.options.get("small_drafts"):
            return wanted, reason
        if wanted.block_bytes * least.block_size >= least.block_bytes * wanted.block_size:
            return wanted, reason
        return least, f"layer {layer} is a draft head (multi-token prediction): {least.name}"

    def _by_recipe(self, recipe: Recipe, tensor: TensorLike) -> tuple[Format, str]:
        rule = recipe.rule_for(tensor.name)
        assert rule is not None  # _check_complete
        where = f"line {rule.line} of the recipe" if rule.line else "the recipe"
        format = tensor.format if rule.format == KEEP else target_format(rule.format)
        return format, f"{where}: {rule.pattern} {rule.format}"

    def _check_complete(self, recipe: Recipe) -> None:
        if self.options.get("pure"):
            raise RecipeError(PURE_RECIPE)
        missing = [
            tensor.name
            for tensor in self.tensors.values()
            if recipe.rule_for(tensor.name) is None and self._why_unchanged(tensor) is None
            and first_match(self.types, tensor.name) is None
        ]  # fmt: skip
        if missing:
            raise RecipeError(
                f"no rule matches {_listed(missing)}; end the recipe with the rule `* FORMAT`"
            )

    def _by_preset(self, preset: Preset, base: Format, tensor: TensorLike) -> tuple[Format, str]:
        role, shared = role_of(tensor.name), ""
        if role is Role.TOKEN_EMBEDDING and self.facts.tied:
            role, shared = Role.OUTPUT, " (the token embedding, as there is no output.weight)"
        place = self._place(preset, role, base, tensor)
        rule = find_rule(preset, role, place)
        format = target_format(rule.format) if rule and rule.format else base
        where = _where(tensor.name, place, role)
        if rule is None or rule.format is None:
            reason = f"{where}: {format.name} is the base format of {preset.name}"
        else:
            words = "".join(f" {condition.words}" for condition in rule.conditions)
            tensors = (rule.role or role).value
            reason = f"{where}: {preset.name} gives {format.name} to {tensors}{shared}{words}"
        large = self.facts.seventy_b and role is Role.VALUES and format.name in ("Q3_K", "Q4_K")
        if large and preset.name in HIGH_PRESETS:
            return find_format("Q5_K"), f"{where}: {preset.name} gives Q5_K to values of 70B models"
        return format, reason

    def _place(
        self, preset: Preset, role: Role, base: Format, tensor: TensorLike
    ) -> TensorPosition:
        index, count = layer_of(tensor.name) or 0, self.facts.layers
        if role in COUNTED_ROLES:
            index = self.counts.get(role, 0)
            self.counts[role] = index + 1
            count = self.value_tensors if role is Role.VALUES else self.facts.layers
        by_name = role in COUNTED_ROLES and role is not Role.VALUES and preset.name in HIGH_PRESETS
        if by_name and self.facts.experts > 1:
            index = _checked_layer(tensor.name, count)
        return TensorPosition(
            facts=self.facts, name=tensor.name, index=index, count=count, importance=self.imatrix,
            stacked=len(tensor.shape) > 2 and tensor.shape[-3] > 1,
            whole=tensor.shape[-1] % base.block_size == 0,
        )  # fmt: skip

    def _needs_importance(self, name: str, format: Format) -> bool:
        if name == OUTPUT or name in TOKEN_EMBEDDINGS:
            return False  # an importance matrix never has entries for them
        small = self.preset is not None and self.preset.name == "Q2_K_S"
        return format.name in NEED_IMPORTANCE or (small and format.name == "Q2_K")


def _named(name: str | None) -> Format | None:
    return target_format(name) if name else None


def _read_target(
    to: str | Recipe, *, pure: bool
) -> tuple[Recipe | None, Preset | None, Format | None]:
    """Return a recipe, a preset with its base format, or a format for every tensor."""
    if isinstance(to, str) and to.endswith(".recipe"):
        to = Recipe.load(to)
    if isinstance(to, Recipe):
        if pure:
            raise RecipeError(PURE_RECIPE)
        return to, None, None
    preset = find_preset(to)
    if preset:
        return None, preset, target_format(preset.base) if preset.base else None
    try:
        return None, None, target_format(to)
    except RecipeError:
        raise RecipeError(no_target(to)) from None


def _fit(wanted: Format, tensor: TensorLike, *, replaceable: bool) -> tuple[Format, Format, str]:
    """Return the requested format, the format that fits the shape, and a note for the reason."""
    try:
        sized = wanted.for_shape(tensor.shape)
    except FormatError:
        pass
    else:
        return sized, sized, ""
    row, block = tensor.shape[-1], wanted.block_size
    fallback = FALLBACKS.get(wanted.name)
    if not replaceable or (fallback is None and block > MAX_FALLBACK_BLOCK):
        how = (
            " (choose one in a recipe, or with `quantize --tensor-type PATTERN=TYPE`)" * replaceable
        )
        raise RecipeError(
            f"{wanted.name} cannot store {tensor.name}: its rows of {row} weights are not a "
            f"multiple of the block of {block}, and the format has no fallback; {fitting(row)}{how}"
        )
    format = find_format(fallback or wanted.name)
    if row % format.block_size:
        format = find_format("F16")
    note = f"; its rows of {row} are not a multiple of {block}, so it gets {format.name}"
    return wanted, format, note


def _where(name: str, place: TensorPosition, role: Role) -> str:
    """Return the tensor in words, with its number if that is not its layer."""
    layer = layer_of(name)
    short = name.removesuffix(".weight")
    if layer is None:
        return short
    of_layer = f"{short.partition('.')[2].partition('.')[2]} of layer {layer}"
    numbered = role in COUNTED_ROLES and (place.index, place.count) != (layer, place.facts.layers)
    return f"{of_layer} (number {place.index + 1} of {place.count})" if numbered else of_layer


def _checked_layer(name: str, layers: int) -> int:
    layer = layer_of(name)
    if layer is None or layer >= layers:
        raise RecipeError(
            f"{name}: a preset needs the layer of every expert tensor, blk.0 … blk.{layers - 1}, as"
            " in llama.cpp; use a recipe, or the option pure (--pure), for this model"
        )
    return layer


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more


def check_importance(choices: Iterable[Choice], known: Iterable[str] = ()) -> None:
    """Raise RecipeError if a tensor needs importance that the imatrix does not have.

    `known` are the names of the tensors that the imatrix has importance for.
    """
    available = frozenset(known)
    missing = [c for c in choices if c.needs_importance and c.changes and c.name not in available]
    if missing:
        raise RecipeError(
            f"{missing[0].format.name} without importance gives noise, and there is none for "
            f"{_listed([choice.name for choice in missing])}; give it with `quantize "
            "--imatrix FILE` (`zeropoint calibrate` makes that file) or `quantize --text FILE`, or "
            "choose a format that needs none, such as Q2_K or Q3_K"
        )


def formats_of(choices: Iterable[Choice]) -> Mapping[str, Format]:
    """Return the format of each tensor in the output, by its name."""
    return {choice.name: choice.format for choice in choices}
