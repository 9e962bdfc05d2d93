"""A short recipe that gives tensors the formats that they have."""

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

    `tensors` are choices, so that a preset becomes a text to edit, or the tensors of a file. Layers
    with the same format share a line, and the last line gives the most frequent format to `*`.
    """
    formats = {
        tensor.name: KEEP if tensor.format.name in NOT_FOR_WEIGHTS else tensor.format.name
        for tensor in tensors
        if why_never_quantized(tensor.name, tensor.shape, architecture) is None
    }
    if not formats:
        return Recipe((Rule("*", KEEP),))
    rules = _rules(formats)
    # `*` matches dots too, so a pattern may match other tensors: name those one by one.
    draft = Recipe(tuple(rules))
    exceptions = [
        Rule(escape(name), format)
        for name, format in formats.items()
        if (rule := draft.rule_for(name)) is None or rule.format != format
    ]
    return Recipe((*exceptions, *rules))


def _rules(formats: dict[str, str]) -> list[Rule]:
    outside_layers: dict[str, str] = {}
    layered: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name, format in formats.items():
        match = _IN_LAYER.fullmatch(name)
        if match:
            layered[match[2]][format].append(int(match[1]))
        else:
            outside_layers[name] = format
    votes = Counter(max(kinds, key=lambda kind: len(kinds[kind])) for kinds in layered.values())
    default = (votes or Counter(outside_layers.values())).most_common(1)[0][0]
    most_frequent = {
        part: max(kinds, key=lambda kind: (len(kinds[kind]), kind == default))
        for part, kinds in layered.items()
    }
    rules = [
        Rule(escape(name), format) for name, format in outside_layers.items() if format != default
    ]
    for part, kinds in layered.items():
        for format, layers in kinds.items():
            if format != most_frequent[part]:
                numbers = spans(sorted(layers))
                layer = numbers if numbers.isdecimal() else f"{{{numbers}}}"
                rules.append(Rule(f"blk.{layer}.{escape(part)}", format))
        if most_frequent[part] != default:
            rules.append(Rule(f"blk.*.{escape(part)}", most_frequent[part]))
    return [*rules, Rule("*", default)]
