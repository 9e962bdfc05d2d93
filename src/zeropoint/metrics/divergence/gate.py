"""Gates: conditions such as `kl.mean<0.05` that pass only if the 95 % interval satisfies them."""

import operator
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zeropoint.errors import MeasurementError
from zeropoint.results.divergence import GateResult, MeasureResult

_GATE = re.compile(r"\s*([\w.\- ]+?)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Gate:
    """A condition on one figure of a result."""

    text: str
    figure: str  # a path into the JSON of the result, with dots, such as "kl.mean"
    relation: str  # <, <=, > or >=
    limit: float

    def check(self, result: MeasureResult | Mapping[str, object]) -> GateResult:
        """Return whether a result passes.

        A figure may have an interval: `low` and `high` beside `mean`, or `NAME_low` and `NAME_high`
        beside `NAME`. The end that is harder to pass decides then, and an unknown interval does not
        pass. A figure without an interval decides by itself.

        >>> result = {"kl": {"mean": 0.04, "low": 0.03, "high": 0.06}}
        >>> parse_gate("kl.mean<0.05").check(result).passed
        False

        Raises MeasurementError, which lists the figures, if there is no such figure.
        """
        figures = result.to_json() if isinstance(result, MeasureResult) else result
        *parents, name = self.figure.split(".")
        node: object = figures
        for parent in parents:
            node = node.get(parent) if isinstance(node, Mapping) else None
        value = node.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or not isinstance(value, (int, float)):
            known = ", ".join(_names(figures))
            raise MeasurementError(f"there is no figure {self.figure!r}; the figures are {known}")
        end = "high" if "<" in self.relation else "low"
        bound = node.get(end if name == "mean" else f"{name}_{end}", value)
        if not isinstance(bound, (int, float)):  # null: the interval is unknown
            return GateResult(self.text, float("nan"), False)
        passed = _RELATIONS[self.relation](bound, self.limit)
        return GateResult(self.text, float(bound), bool(passed))


def parse_gate(text: str) -> Gate:
    """Parse a gate, `FIGURE<NUMBER` or `FIGURE>NUMBER`, also with <= or >=.

    Raises MeasurementError if it does not parse.
    """
    match = _GATE.fullmatch(text)
    if not match:
        raise MeasurementError(
            f"{text!r} is not a gate; a gate is FIGURE<NUMBER or FIGURE>NUMBER, such as"
            " kl.mean<0.05"
        )
    figure, relation, number = match.groups()
    try:
        return Gate(text, figure, relation, float(number))
    except ValueError:
        raise MeasurementError(f"{number!r} in the gate {text!r} is not a number") from None


def _names(node: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all figures, without the ends of intervals."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not key.endswith(("low", "high")):
            yield prefix + key
