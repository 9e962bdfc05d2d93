"""A preset in words: its base format, and the tensors that get another one."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zeropoint.plans.formats.presets import (
    FALCON,
    FALLBACKS,
    HAS_EIGHT_EXPERTS,
    NEED_IMPORTANCE,
    RULES,
    RULES_VERSION,
    SENSITIVE,
    PresetRule,
    find_preset,
)
from zeropoint.plans.formats.roles import Role

# Conditions that concern a few models; an explanation names the models, not their rules.
PARTICULAR = {
    SENSITIVE.words: "GLM5-NEXT",
    HAS_EIGHT_EXPERTS.words: "models with exactly 8 experts",
    FALCON.words: "Falcon",
}


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Tensors of a role that get another format than the base format."""

    tensors: str
    where: str
    format: str


@dataclass(frozen=True, kw_only=True)
class PresetExplained:
    """A preset of llama.cpp."""

    name: str
    #: None: every tensor keeps its format.
    base: str | None
    #: In order; the first one that applies to a tensor wins.
    deviations: tuple[Deviation, ...]
    #: Models with further deviations.
    particular: tuple[str, ...]
    #: Format for rows that are not a multiple of the base format's block.
    fallback: str | None
    needs_importance: bool
    rules_version: str


def explain_preset(name: str) -> PresetExplained | None:
    """Explain the preset with this name, in any case, or return None for an unknown name."""
    preset = find_preset(name)
    if preset is None:
        return None
    rules = [rule for rule in RULES if preset.name in rule.presets]
    quantizes = preset.base not in (None, "F32", "F16", "BF16")
    particular = {c.words for rule in rules for c in rule.conditions} & set(PARTICULAR)
    return PresetExplained(
        name=preset.name,
        base=preset.base,
        deviations=tuple(deviations(rules, preset.base or "")) if quantizes else (),
        particular=tuple(sorted(PARTICULAR[words] for words in particular)) if quantizes else (),
        fallback=FALLBACKS.get(preset.base or ""),
        needs_importance=preset.base in NEED_IMPORTANCE,
        rules_version=RULES_VERSION,
    )


def deviations(rules: Iterable[PresetRule], base: str) -> Iterator[Deviation]:
    """Yield the rules that can apply to any model and give another format than the base."""
    settled: set[Role | None] = set()
    for rule in rules:
        words = [condition.words for condition in rule.conditions]
        if rule.role in settled or set(words) & set(PARTICULAR):
            continue
        if not words:
            settled.add(rule.role)
        format = rule.format or base
        if words or format != base:
            tensors = rule.role.value if rule.role else "all others"
            yield Deviation(tensors=tensors, where=" and ".join(words), format=format)
