"""What a preset means, in words: its base format, and what deviates from it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zeropoint.plans.formats.presets import (
    DELICATE,
    EIGHT,
    FALCON,
    FALLBACKS,
    NEED_IMPORTANCE,
    RULES,
    RULES_VERSION,
    PresetRule,
    find_preset,
)
from zeropoint.plans.formats.roles import Role

# Conditions about some models only: these are named in one line, not rule by rule.
PARTICULAR = {
    DELICATE.words: "GLM5-NEXT",
    EIGHT.words: "models with exactly 8 experts",
    FALCON.words: "Falcon",
}


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """Tensors of a role that get another format than the base."""

    tensors: str
    where: str
    format: str


@dataclass(frozen=True, kw_only=True)
class PresetExplained:
    """A preset of llama.cpp."""

    name: str
    base: str | None  # None: every tensor keeps its format
    deviations: tuple[Deviation, ...]  # the first that applies counts
    particular: tuple[str, ...]  # models with more of them
    fallback: str | None  # for rows that are no multiple of the base format's block
    needs_importance: bool
    rules_version: str


def explain_preset(name: str) -> PresetExplained | None:
    """Say what stands behind a preset's name, in any case; None if there is no such preset."""
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
    """Yield the rules that can apply to any model and change something."""
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
