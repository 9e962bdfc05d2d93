"""Gates: conditions such as `kl.mean<0.05` that pass only if the 95 % interval satisfies them."""

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from zeropoint.errors import MeasurementError
from zeropoint.results.divergence import KL, GateResult, MeasureResult

_GATE = re.compile(r"\s*([\w.\- ]+?)\s*(<=|>=|<|>)\s*([-+.\deE]+)\s*")
_RELATIONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

_LATER = ("by_domain", "by_position", "by_class", "reference", "quant", "text", "startup_seconds")


@dataclass(frozen=True)
class Gate:
    """A condition on one figure of a result."""

    text: str
    figure: str  # a path into the JSON of the result, with dots, such as "kl.mean"
    relation: str  # <, <=, > or >=
    limit: float

    def check_name(self) -> None:
        """Raise MeasurementError for a figure that no result of `measure` has.

        It can be called before anything is measured. Figures of groups and of models, such as
        by_domain.prose.top1, pass, because only the result contains them.
        """
        group = self.figure.lower().split(".")[0]
        known = list(_keys(MeasureResult(kl=KL(0.0, 0.0, 0.0)).to_json()))
        if group not in _LATER and self.figure.lower() not in known:
            raise MeasurementError(_unknown(self.figure, known))

    def check(self, result: MeasureResult | Mapping[str, object]) -> GateResult:
        """Return whether a result passes.

        A figure may have an interval: `low` and `high` with `mean`, or `NAME_low` and `NAME_high`
        with `NAME`. The end that is harder to pass decides then, and an unknown interval does not
        pass. A figure without an interval decides by itself.

        >>> result = {"kl": {"mean": 0.04, "low": 0.03, "high": 0.06}}
        >>> parse_gate("kl.mean<0.05").check(result).passed
        False

        Raises MeasurementError, with similar names, if there is no such figure.
        """
        figures = result.to_json() if isinstance(result, MeasureResult) else result
        *parents, last = self.figure.split(".")
        node: object = figures
        for parent in parents:
            node = node.get(_key(node, parent)) if isinstance(node, Mapping) else None
        name = _key(node, last) if isinstance(node, Mapping) else last
        value = node.get(name) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or not isinstance(value, (int, float)):
            raise MeasurementError(_unknown(self.figure, list(_names(figures))))
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


def _key(node: Mapping[str, object], name: str) -> str:
    """Return the key of a result that `name` spells in any case, or `name` itself."""
    return next((key for key in node if key.lower() == name.lower()), name)


def _unknown(figure: str, known: Sequence[str]) -> str:
    """Return the error message for a figure that a result does not have."""
    close = get_close_matches(figure.lower(), known, 4)
    shown = close or [name for name in known if name.count(".") < 2]  # not those of each domain
    return f"there is no figure {figure!r}; {'similar names' if close else 'there are'}: " + (
        ", ".join(shown)
    )


def _keys(node: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all values in a result that are not objects."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _keys(value, f"{prefix}{key}.")
        else:
            yield prefix + key


def _names(node: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield the paths of all figures, without the ends of intervals."""
    for key, value in node.items():
        if isinstance(value, Mapping):
            yield from _names(value, f"{prefix}{key}.")
        elif isinstance(value, (int, float)) and not key.endswith(("low", "high")):
            yield prefix + key
