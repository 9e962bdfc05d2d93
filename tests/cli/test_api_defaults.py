"""A verb has the same defaults as a function, in its options object and on the command line."""

import dataclasses
import inspect
from enum import Enum
from importlib import import_module
from typing import Any

import pytest

import zeropoint

# By verb: the options that the command line calls something else (parameter → field).
VERBS: dict[str, dict[str, str]] = {
    "bench": {},
    "compare": {"ctx": "context", "memory_ctx": "memory_context"},
    "calibrate": {"ctx": "context"},
    "card": {},
    "drift": {"as_": "to"},
    "generate": {},
    "heal": {"ctx": "context"},
    "inspect": {},
    "ladder": {"ctx": "context"},
    "measure": {"as_": "to", "ctx": "context"},
    "plan": {"ctx": "context"},
    "quantize_checkpoint": {"ctx": "context", "for_": "for_folder"},
    "report": {},
    "search": {"ctx": "context", "for_": "for_folder"},
    "tasks": {},
    "train": {"ctx": "context"},
}
# The commands, and the modules of options, that have another name than the function.
COMMANDS = {"generate": "run", "quantize_checkpoint": "quantize"}
OPTIONS = {"quantize_checkpoint": "quantize"}


def defaults_of(function: Any) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name: plain(parameter.default) for parameter in parameters}


def plain(value: object) -> object:
    return value.value if isinstance(value, Enum) else value


@pytest.mark.parametrize("verb", list(VERBS))
def test_defaults_are_the_same_everywhere(verb: str) -> None:
    name = OPTIONS.get(verb, verb)
    options = getattr(
        import_module(f"zeropoint.verbs.options.{name}"), f"{name.capitalize()}Options"
    )
    fields = {
        field.name: plain(getattr(options(), field.name)) for field in dataclasses.fields(options)
    }
    keywords = defaults_of(getattr(zeropoint, verb))
    assert {name: keywords[name] for name in fields} == fields
    command = COMMANDS.get(verb, verb)
    typed = defaults_of(getattr(import_module(f"zeropoint.cli.commands.{command}"), command))
    typed = {VERBS[verb].get(name, name): value for name, value in typed.items()}
    assert {name: typed[name] for name in fields} == fields


def test_every_verb_is_offered_by_the_package() -> None:
    for verb in VERBS:
        assert verb in zeropoint.__all__
        module = import_module(zeropoint._ROOMS[verb])
        assert getattr(zeropoint, verb) is getattr(module, verb)
