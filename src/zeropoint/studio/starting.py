"""What pages may start: three verbs, with models by id and outputs by a plain name in the root.

No word of a body reaches the command line as it is: ids become paths of the listing, names and
formats match a pattern that holds no slash and begins with no dash.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from zeropoint.plans import PRESETS
from zeropoint.studio.asking import text_in, whole_in
from zeropoint.studio.library import Entry, Library

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
LEVELS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,]{0,199}", re.ASCII)
MOST_CHUNKS = 10_000

FORMATS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "BF16")


def offered() -> list[str]:
    """Return what a model can be quantized to from a page: presets, then single formats."""
    return list(dict.fromkeys([*PRESETS, *FORMATS]))


def command(words: Mapping[str, Any], library: Library) -> tuple[str, list[str], str]:
    """Return verb, the words after it, and the name of its run folder.

    Raises HTTPException: 400 for words that are none, 404 for ids, 409 for a name that is taken.
    """
    verb = words.get("verb")
    model = str(_model(words, "model", library).path)
    if verb == "quantize":
        to = text_in(words, "to", least=1, most=64)
        if to not in offered():
            raise HTTPException(400, f"to is one of {', '.join(offered())}")
        name = _name(words, f"{Path(model).stem[:40]}-{to}").removesuffix(".gguf")
        output, run = _free(library, f"{name}.gguf"), _free(library, f"{name}-made")
        more = ["--requantize"] if words.get("requantize") is True else []
        return "quantize", [model, output, "--to", to, "--run", run, *more], f"{name}-made"
    chunks = str(whole_in(words, "chunks", 1, MOST_CHUNKS))
    if verb == "measure":
        reference = str(_model(words, "reference", library).path)
        name = _name(words, f"{Path(model).stem[:40]}-measured")
        run = _free(library, name)
        return "measure", [model, "--ref", reference, "--chunks", chunks, "--run", run], name
    if verb == "ladder":
        levels = text_in(words, "levels", least=1, most=200)
        if not LEVELS.fullmatch(levels):
            raise HTTPException(400, "levels are bits and formats, as in 16,8,6,4,Q4_K_M")
        name = _name(words, f"{Path(model).stem[:40]}-ladder")
        run = _free(library, name)
        more = ["--requantize"] if words.get("requantize") is True else []
        told = [model, "--levels", levels, "--chunks", chunks, "--run", run, *more]
        return "ladder", told, name
    raise HTTPException(400, "verb is quantize, measure or ladder")


def _model(words: Mapping[str, Any], key: str, library: Library) -> Entry:
    id = words.get(key)
    try:
        return library.find(id if isinstance(id, str) else "", "model")
    except KeyError:
        raise HTTPException(404, f"{key}: there is no model of this id below the root") from None


def _name(words: Mapping[str, Any], usual: str) -> str:
    given = text_in(words, "name", most=64) or re.sub(r"[^A-Za-z0-9._-]", "-", usual).lstrip("-._")
    if not NAME.fullmatch(given):
        raise HTTPException(400, "a name has letters, digits, dots, dashes and underscores")
    return given


def _free(library: Library, name: str) -> str:
    """Return the path of a new file or folder in the root; nothing that is there is touched."""
    path = library.root / name
    if path.exists() or path.is_symlink():
        raise HTTPException(409, f"{name} is there already; choose another name")
    return str(path)
