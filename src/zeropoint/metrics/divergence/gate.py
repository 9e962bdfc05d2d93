"""Gates for publishers: `kl.mean<0.05` passes only if the interval shows it."""

import re
from collections.abc import Mapping

from zeropoint.errors import MeasurementError
from zeropoint.results.divergence import GateResult, MeasureResult

_GATE = re.compile(r"\s*([\w.\- ]+?)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")


def check_gate(gate: str, results: MeasureResult | Mapping[str, object]) -> GateResult:
    """Decide one gate `FIGURE<NUMBER` or `FIGURE>NUMBER` against measured results.

    FIGURE is a path of dots into the results. Where the figure has an interval (`low` and `high`
    beside `mean`, or `NAME_low` and `NAME_high` beside `NAME`), the end that is harder to pass
    decides; a figure without one decides by itself. An interval that is not known does not pass.

    >>> check_gate("kl.mean<0.05", {"kl": {"mean": 0.04, "low": 0.03, "high": 0.06}}).passed
    False

    Raises MeasurementError that lists the figures for a gate that does not parse or names none.
    """
    match = _GATE.fullmatch(gate)
    if not match:
        raise MeasurementError(f"a gate reads FIGURE<NUMBER or FIGURE>NUMBER, not {gate!r}")
    path, relation, number = match.groups()
    try:
        limit = float(number)
    except ValueError:
        raise MeasurementError(f"{number!r} in the gate {gate!r} is not a number") from None
    parts = path.split(".")
    figures = results.to_json() if isinstance(results, MeasureResult) else results
    node: object = figures
    for part in parts[:-1]:
        node = node.get(part) if isinstance(node, Mapping) else None
    name = parts[-1]
    value = node.get(name) if isinstance(node, Mapping) else None
    if not isinstance(node, Mapping) or not isinstance(value, (int, float)):
        known = ", ".join(_figures(figures))
        raise MeasurementError(f"there is no figure {path!r}; there are {known}")
    end = "high" if "<" in relation else "low"
    bound = node.get(end if name == "mean" else f"{name}_{end}", value)
    if not isinstance(bound, (int, float)):  # null: an interval that is not known
        return GateResult(gate, float("nan"), False)
    passed = {
        "<": bound < limit,
        "<=": bound <= limit,
        ">": bound > limit,
        ">=": bound >= limit,
    }[relation]
    return GateResult(gate, float(bound), passed)


def _figures(node: Mapping[str, object], prefix: str = "") -> list[str]:
    found = []
    for key, value in node.items():
        if isinstance(value, Mapping):
            found += _figures(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not key.endswith(("low", "high")):
            found.append(prefix + key)
    return found
