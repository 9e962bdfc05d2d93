"""The other way round: from the formats that tensors have to a short recipe that gives them."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from zeropoint.checkpoints import TensorLike
from zeropoint.plans.formats.globs import escape, spans
from zeropoint.plans.formats.names import NOT_FOR_WEIGHTS
from zeropoint.plans.formats.recipe import KEEP, Recipe, Rule
from zeropoint.plans.formats.roles import why_never_quantized

_IN_LAYER = re.compile(r"blk\.(\d+)\.(.+)", re.ASCII | re.DOTALL)


def recipe_of(tensors: Iterable[TensorLike], architecture: str = "") -> Recipe:
    """Return a recipe that gives each of these tensors the format that it has.

    `tensors` are choices (a preset becomes a text to edit) or the tensors of a file (its recipe).
    Layers that share a format share a line, and the most frequent format stands last, as `*`.
    """
    formats = {
        tensor.name: KEEP if tensor.format.name in NOT_FOR_WEIGHTS else tensor.format.name
        for tensor in tensors
        if why_never_quantized(tensor.name, tensor.shape, architecture) is None
    }
    if not formats:
        return Recipe((Rule("*", KEEP),))
    rules = _rules(formats)
    # `*` passes dots, so a pattern may take more than its layer's tensor: name those one by one.
    draft = Recipe(tuple(rules))
    strays = [
        Rule(escape(name), format)
        for name, format in formats.items()
        if (found := draft.rule_for(name)) is None or found.format != format
    ]
    return Recipe((*strays, *rules))


def _rules(formats: dict[str, str]) -> list[Rule]:
    alone: dict[str, str] = {}
    layered: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, format in formats.items():
        found = _IN_LAYER.fullmatch(name)
        if found:
            layered[found[2]][format].append(int(found[1]))
        else:
            alone[name] = format
    votes = Counter(max(kinds, key=lambda kind: len(kinds[kind])) for kinds in layered.values())
    default = (votes or Counter(alone.values())).most_common(1)[0][0]
    usual = {
        part: max(kinds, key=lambda kind: (len(kinds[kind]), kind == default))
        for part, kinds in layered.items()
    }
    rules = [Rule(escape(name), format) for name, format in alone.items() if format != default]
    for part, kinds in layered.items():
        for format, layers in kinds.items():
            if format != usual[part]:
                numbers = spans(sorted(layers))
                wanted = numbers if numbers.isdecimal() else f"{{{numbers}}}"
                rules.append(Rule(f"blk.{wanted}.{escape(part)}", format))
        if usual[part] != default:
            rules.append(Rule(f"blk.*.{escape(part)}", usual[part]))
    return [*rules, Rule("*", default)]
