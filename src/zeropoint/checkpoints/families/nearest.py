"""The sentence about an architecture that is in no table: what comes nearest, and how to add it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from zeropoint.checkpoints.families import FAMILIES
from zeropoint.errors import printable

GUIDE = "docs/adding-a-model.md"
#: The role of a layer's tensor in a GGUF file or a Hugging Face folder.
LAYER_TENSOR = re.compile(r"(?:^|\.)(?:blk|layers)\.\d+\.(.+?)(?:\.(?:weight|bias|scale))?$")
SIMILAR_NAME = 0.6  # the least ratio of difflib at which two names are said to be near


def unsupported(what: str, tensors: Iterable[str] = (), names: Iterable[str] = FAMILIES) -> str:
    """Return why a model with these tensors cannot be used, in one sentence without its file.

    `what` names its kind and its name: "architecture mamba"; `names` are those that are supported.

    >>> unsupported("architecture llama5")
    "architecture 'llama5' is not supported; nearest by its name is llama; to add it, \
see docs/adding-a-model.md"
    """
    kind, _, name = what.partition(" ")
    shown = printable(repr(name))
    near = [text for text in (_by_name(name, names), _by_tensors(tensors)) if text]
    nearest = f"nearest {' and '.join(near)}" if near else "no supported family is near it"
    return f"{kind} {shown} is not supported; {nearest}; to add it, see {GUIDE}"


def _by_name(name: str, names: Iterable[str]) -> str:
    lower = {known.lower(): known for known in names}
    close = get_close_matches(name[:64].lower(), lower, 1, cutoff=SIMILAR_NAME)
    return f"by its name is {lower[close[0]]}" if close else ""


def _by_tensors(tensors: Iterable[str]) -> str:
    """Return the family that has the most of the kinds of tensors of a layer."""
    found = {_without_number(match[1]) for name in tensors if (match := LAYER_TENSOR.search(name))}
    if not found:
        return ""

    def shared(name: str) -> tuple[int, int]:
        roles = FAMILIES[name].roles
        return len(found & {*roles, *roles.values()}), -len(roles)

    best = max(FAMILIES, key=shared)
    count = shared(best)[0]
    return f"by its tensors is {best} ({count} of {len(found)} kinds)" if count else ""


def _without_number(role: str) -> str:
    """Replace the number of an expert by the * of the table."""
    return re.sub(r"\.\d+\.", ".*.", role)
