"""Renders one chat template in a child process with limited time and memory.

Run as a script with one JSON object on stdin: {"template", "variables", "megabytes", "seconds"}, of
which "variables" is a list: the template is rendered once for each of its items. It prints
{"texts"} or {"error"}. A template is a program that came with a file. Here it can reach no
other template, no attribute that is not listed below, and no more resources than given. The module
imports nothing of zeropoint, which would take more time than rendering.
"""

import json
import resource
import sys
from collections.abc import Callable
from datetime import datetime
from typing import Any

from jinja2 import Template, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Namespace

STRING_METHODS = frozenset(
    """capitalize casefold center count endswith expandtabs find format format_map index isalnum
    isalpha isascii isdecimal isdigit isidentifier islower isnumeric isprintable isspace istitle
    isupper join ljust lower lstrip maketrans partition removeprefix removesuffix replace rfind
    rindex rjust rpartition rsplit rstrip split splitlines startswith strip swapcase title translate
    upper zfill""".split()
)
SEQUENCE_METHODS = frozenset({"copy", "count", "index"})
MAPPING_METHODS = frozenset({"copy", "fromkeys", "get", "items", "keys", "values"})
NUMBER_ATTRIBUTES = frozenset({"bit_count", "bit_length", "imag", "is_integer", "real"})
MACRO_ATTRIBUTES = frozenset({"arguments", "caller", "catch_kwargs", "catch_varargs", "name"})
CYCLER_METHODS = frozenset({"current", "next", "reset"})
LOOP_ATTRIBUTES = frozenset(
    """changed cycle depth depth0 first index index0 last length nextitem previtem revindex
    revindex0""".split()
)

REASONING = ("reasoning_content", "thinking", "reasoning")
# Names that transformers defines for every template.
PREDEFINED = {"tools": None, "documents": None, "add_generation_prompt": False}


class Environment(ImmutableSandboxedEnvironment):
    """jinja2's sandbox, with a list of allowed operations instead of forbidden ones."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        allowed: frozenset[str] = frozenset()
        if isinstance(obj, str):
            allowed = STRING_METHODS
        elif isinstance(obj, dict):
            allowed = MAPPING_METHODS
        elif isinstance(obj, list | tuple):
            allowed = SEQUENCE_METHODS
        elif isinstance(obj, LoopContext):
            allowed = LOOP_ATTRIBUTES
        elif isinstance(obj, int | float):
            allowed = NUMBER_ATTRIBUTES
        elif isinstance(obj, Macro):
            allowed = MACRO_ATTRIBUTES
        elif isinstance(obj, Cycler):
            allowed = CYCLER_METHODS
        elif isinstance(obj, Namespace):
            return not attr.startswith("_")
        elif obj is dict:
            allowed = frozenset({"fromkeys"})
        return attr in allowed and super().is_safe_attribute(obj, attr, value)

    def is_safe_callable(self, obj: Any) -> bool:
        if isinstance(obj, Macro):
            return True
        return getattr(obj, "allowed", False) or super().is_safe_callable(obj)


class Names(Namespace):
    """Object that `namespace` creates. As in transformers, no name may begin with an underscore."""

    def __init__(*args: Any, **values: Any) -> None:  # a name may be "self"
        values_of_namespace = dict(*args[1:], **values)
        for name in values_of_namespace:
            refuse_underscore(name)
        Namespace.__init__(args[0], values_of_namespace)

    def __setitem__(self, name: str, value: Any) -> None:
        refuse_underscore(name)
        super().__setitem__(name, value)


def refuse_underscore(name: Any) -> None:
    """Raise for a name of a namespace that begins with an underscore."""
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace cannot have the name {name!r}")


class Generation(Extension):
    """Transformers' `{% generation %}`, which marks the model's messages; here it only renders."""

    tags = {"generation"}  # noqa: RUF012 (jinja2's own attribute)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def raise_exception(message: str) -> None:
    """Raise an error; chat templates call this function to refuse a conversation."""
    raise TemplateError(message)


def strftime_now(format: str) -> str:
    """Return the present date, which some system prompts mention."""
    return datetime.now().strftime(format)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as transformers writes it: no HTML escapes; any other argument is an error."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def compile_template(text: str) -> Template:
    """Compile a template. Raises jinja2's errors."""
    environment = Environment(
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=Undefined,
        extensions=[loopcontrols, Generation],
        cache_size=0,
    )
    environment.globals.pop("lipsum")  # random text
    offered: list[Callable[..., Any]] = [raise_exception, strftime_now]
    environment.globals.update({function.__name__: function for function in offered})
    environment.globals["namespace"] = Names
    environment.filters["tojson"] = to_json
    return environment.from_string(text)


def render(template: str, variables: dict[str, Any]) -> str:
    """Compile and render a template. Raises jinja2's errors, and any that it provokes."""
    return render_compiled(compile_template(template), variables)


def render_compiled(template: Template, variables: dict[str, Any]) -> str:
    """Render a compiled template. Raises any error that the template provokes."""
    messages = variables.get("messages")
    if isinstance(messages, list):
        variables = variables | {"messages": [with_reasoning(message) for message in messages]}
    return template.render(PREDEFINED | variables)


def with_reasoning(message: Any) -> Any:
    """Return a message whose reasoning has the names under which transformers offers it."""
    if not isinstance(message, dict):
        return message
    thinking = next((message[n] for n in REASONING if message.get(n) is not None), None)
    if thinking is None:
        return message
    return {"thinking": thinking, **message, "reasoning_content": thinking}


def main() -> None:
    """Read the job, take the limits, answer."""
    job = json.load(sys.stdin)
    size = int(job["megabytes"]) << 20
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
    resource.setrlimit(resource.RLIMIT_CPU, (int(job["seconds"]), int(job["seconds"])))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        template = compile_template(job["template"])
        answer: dict[str, Any] = {
            "texts": [render_compiled(template, one) for one in job["variables"]]
        }
    except MemoryError:
        answer = {"error": "it needs too much memory"}
    except Exception as error:  # noqa: BLE001 (the template's own; nothing may escape)
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
