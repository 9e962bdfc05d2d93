"""Generates problems of several steps, from a seed, whose state can be checked after every step.

A chain is a dialogue in completion form, so that base models can do it too: zeropoint writes an
operation and the model writes the state after it. The next operation applies to that state, right
or wrong. There are six families; a higher level has larger states.
"""

import json
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

MAX_LEVEL = 4

_NAMES = """amber birch cedar delta ember fjord grove haven indigo jasper kite lotus maple north
opal pearl quartz raven sage topaz umber velvet willow yarrow zephyr basil clover dune echo falcon
ginger
hazel iris juniper kelp linden mint nectar olive poplar""".split()


class Chain(ABC):
    """One problem. States are texts in canonical form; `apply` returns the correct next state."""

    head: str  # written before the first operation
    start: str  # the first state

    @abstractmethod
    def ask(self, step: int, state: str) -> str:
        """Return the text before the model's answer; `state` is its previous answer."""

    @abstractmethod
    def apply(self, step: int, state: str) -> str | None:
        """Return the correct next state; None if the operation does not apply to `state`."""

    def read(self, answer: str) -> str | None:
        """Return the state that an answer contains; None if it contains none."""
        words = answer.split()
        return words[0].strip(".,;:") if words else None

    def write(self, state: str) -> str:
        """Return a state as an answer."""
        return f" {state}"

    def truths(self, steps: int) -> list[str]:
        """Return the correct state after each step."""
        states = [self.start]
        for step in range(steps):
            state = self.apply(step, states[-1])
            assert state is not None
            states.append(state)
        return states[1:]


@dataclass(frozen=True)
class ArithmeticChain(Chain):
    """Carry arithmetic: each line adds to the sum of the line before."""

    numbers: tuple[int, ...]
    start: str
    head: str = "Running total:"

    @classmethod
    def make(cls, level: int, steps: int, source: random.Random) -> "ArithmeticChain":
        low, high = ((2, 9), (11, 49), (101, 499), (1001, 4999))[level - 1]
        total = start = source.randint(low * 3, high * 3)
        numbers = []
        for _ in range(steps):
            number = source.randint(low, high) * (
                1 if total <= high * 2 else source.choice((1, -1))
            )
            total += number
            numbers.append(number)
        return cls(tuple(numbers), str(start))

    def ask(self, step: int, state: str) -> str:
        number = self.numbers[step]
        return f"{state} {'+' if number >= 0 else '-'} {abs(number)} ="

    def apply(self, step: int, state: str) -> str | None:
        return str(int(state) + self.numbers[step]) if re.fullmatch(r"-?\d{1,9}", state) else None


@dataclass(frozen=True)
class LookupChain(Chain):
    """Key lookup: the value of one line is the key of the next line."""

    table: Mapping[str, str]
    start: str
    head: str

    @classmethod
    def make(cls, level: int, steps: int, source: random.Random) -> "LookupChain":
        names = source.sample(_NAMES, (4, 8, 14, 24)[level - 1])
        ring = dict(zip(names, names[1:] + names[:1], strict=True))
        listed = source.sample(names, len(names))
        head = "Table: " + ", ".join(f"{name}={ring[name]}" for name in listed)
        return cls(ring, source.choice(names), head)

    def ask(self, step: int, state: str) -> str:
        return f"{state} ->"

    def apply(self, step: int, state: str) -> str | None:
        return self.table.get(state)


@dataclass(frozen=True)
class StateMachineChain(Chain):
    """A state machine: the rules come first, then one input symbol per line."""

    rules: Mapping[tuple[str, str], str]
    symbols: str
    start: str
    head: str

    @classmethod
    def make(cls, level: int, steps: int, source: random.Random) -> "StateMachineChain":
        names = source.sample(_NAMES, (2, 3, 4, 6)[level - 1])
        rules = {(name, symbol): source.choice(names) for name in names for symbol in "01"}
        head = "Rules: " + "; ".join(f"{n} on {s} goes to {to}" for (n, s), to in rules.items())
        symbols = "".join(source.choice("01") for _ in range(steps))
        return cls(rules, symbols, source.choice(names), head)

    def ask(self, step: int, state: str) -> str:
        return f"{state} on {self.symbols[step]} goes to"

    def apply(self, step: int, state: str) -> str | None:
        return self.rules.get((state, self.symbols[step]))


@dataclass(frozen=True)
class ListChain(Chain):
    """Edits of a list; the whole list is written after each edit."""

    edits: tuple[tuple[str, int], ...]
    start: str
    head: str

    @classmethod
    def make(cls, level: int, steps: int, source: random.Random) -> "ListChain":
        length = (3, 4, 6, 8)[level - 1]
        items = [source.randint(1, 99) for _ in range(length)]
        edits: list[tuple[str, int]] = []
        kinds = ["append", "remove first", "append", "remove last", "reverse", "add to first"]
        for step in range(steps):
            kind = kinds[step % 4] if step % 2 else source.choice(kinds[4:] + kinds[:1])
            edits.append((kind, source.randint(1, 9)))
        return cls(tuple(edits), json.dumps(items), f"List: {json.dumps(items)}")

    def ask(self, step: int, state: str) -> str:
        kind, number = self.edits[step]
        texts = {"append": f"append {number}", "add to first": f"add {number} to the first"}
        return f"{texts.get(kind, kind)}:"

    def read(self, answer: str) -> str | None:
        return _canonical(answer, list)

    def apply(self, step: int, state: str) -> str | None:
        items: list[Any] = json.loads(state)
        kind, number = self.edits[step]
        if not all(type(item) is int for item in items):
            return None
        match kind:
            case "append":
                items.append(number)
            case "remove first":
                items = items[1:]
            case "remove last":
                items = items[:-1]
            case "reverse":
                items.reverse()
            case _:
                items[:1] = [item + number for item in items[:1]]
        return json.dumps(items)


@dataclass(frozen=True)
class ObjectChain(Chain):
    """Edits of a JSON object; the whole object is written after each edit."""

    edits: tuple[tuple[str, str, int], ...]
    start: str
    head: str

    @classmethod
    def make(cls, level: int, steps: int, source: random.Random) -> "ObjectChain":
        names = source.sample(_NAMES, 20)
        keys, spare = names[: (2, 3, 4, 6)[level - 1]], names[10:]
        start = json.dumps({key: source.randint(1, 99) for key in sorted(keys)})
        edits: list[tuple[str, str, int]] = []
        for step in range(steps):
            kind = source.choice(("set", "add to", "set", "delete" if len(keys) > 2 else "new"))
            key = spare[step % 10] if kind == "new" else source.choice(keys)
            if kind == "new":
                keys.append(key)
            elif kind == "delete":
                keys.remove(key)
            edits.append(("set" if kind == "new" else kind, key, source.randint(1, 9)))
        return cls(tuple(edits), start, f"Object: {start}")

    def ask(self, step: int, state: str) -> str:
        kind, key, number = self.edits[step]
        texts = {"set": f"set {key} to {number}", "add to": f"add {number} to {key}"}
        return f"{texts.get(kind, f'delete {key}')}:"

    def read(self, answer: str) -> str | None:
        return _canonical(answer, dict)

    def apply(self, step: int, state: str) -> str | None:
        fields: dict[str, Any] = json.loads(state)
        kind, key, number = self.edits[step]
        if kind == "set":
            fields[key] = number
        elif kind == "delete":
            fields.pop(key, None)
        elif type(fields.get(key)) is int:
            fields[key] += number
        return json.dumps(fields, sort_keys=True)


@dataclass(frozen=True)
class ToolChain(Chain):
    """Tool calls: each result has several fields, one of which names the next call."""

    results: Mapping[str, Mapping[str, str]]
    start: str
    head: str

    @classmethod
    def make(cls, level: int, steps: int, source: random.Random) -> "ToolChain":
        names = source.sample(_NAMES, steps + 2)
        fields = ["guard", "colour", "key", "owner", "room", "metal", "tree"][: 2 * level - 1]
        results = {}
        for place, name in enumerate(names):
            values = {field: source.choice(_NAMES) for field in fields}
            values["next"] = names[(place + 1) % len(names)]
            results[name] = dict(source.sample(sorted(values.items()), len(values)))
        return cls(results, names[0], f"call open({names[0]})")

    def ask(self, step: int, state: str) -> str:
        result = self.results.get(state, {"error": "there is no such name"})
        return "result " + ", ".join(f"{k}={v}" for k, v in result.items()) + "\ncall open("

    def read(self, answer: str) -> str | None:
        return answer.split(")")[0].strip(" '\"") or None

    def write(self, state: str) -> str:
        return f"{state})"

    def apply(self, step: int, state: str) -> str | None:
        return self.results[state]["next"] if state in self.results else None


FAMILIES = {
    "sums": ArithmeticChain.make,
    "hops": LookupChain.make,
    "machine": StateMachineChain.make,
    "lists": ListChain.make,
    "json": ObjectChain.make,
    "tools": ToolChain.make,
}

TITLES = {
    "sums": "carry arithmetic",
    "hops": "key lookup",
    "machine": "state machine",
    "lists": "list edits",
    "json": "JSON edits",
    "tools": "tool calls",
}


def make_chain(family: str, level: int, steps: int, seed: int) -> Chain:
    """Return the chain of a seed; it is the same on every machine."""
    return FAMILIES[family](level, steps, random.Random(f"{family} {level} {steps} {seed}"))


def _canonical(answer: str, kind: type) -> str | None:
    """Return the JSON at the beginning of an answer in canonical form, or None without JSON."""
    try:
        value, _ = json.JSONDecoder().raw_decode(answer.strip())
    except (ValueError, RecursionError):
        return None
    return json.dumps(value, sort_keys=True) if isinstance(value, kind) else None
