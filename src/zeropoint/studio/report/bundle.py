"""Puts a page together: one HTML file that needs nothing else, or the same parts served one by one.

A page is HTML written here, one style sheet, JSON data, and ES modules from `static/`. The studio
serves the modules as they are; a file on a disk cannot import, so `bundle` writes them one after
the other into one inline script, each a function that returns what it exports:

    import { h } from "./draw.js";      →   const { h } = draw;
    export function mount(…) {…}        →   const number = (() => { …; return { mount }; })();

The content security policy names the hash of that script and of the style sheet and allows nothing
else: no request, no injected code. Data is gzip and base64 in an island that no browser runs.

A visual is a module with `export function mount(figure, data, state)`. `figure` is the <figure
data-visual="NAME"> it fills, `data` the page's data, `state` the page's fragment (state.js); it
draws with draw.js and returns nothing. The same module serves walk, report and studio.
"""

import base64
import gzip
import hashlib
import json
import re
from html import escape
from importlib import resources
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

GENERATOR = '<meta name="generator" content="zeropoint">\n'
PageData = dict[str, Any]  # the JSON that a page gives its scripts
STATIC = resources.files("zeropoint.studio") / "static"

_IMPORT = re.compile(r'^import (?:\* as (\w+)|\{([^}]*)\})\s+from "\./(\w+)\.js";$', re.MULTILINE)
_HEAD_BYTES = 512  # enough for the start of a page, whichever of both forms it has
_OURS = re.compile(
    r'<!doctype html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8">\s*'
    r'(<meta name="generator" content="zeropoint\b'
    # Pages that were written before there was a generator tag.
    r"|<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    r"script-src 'sha256-)"
)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function|const|class) (\w+))", re.MULTILINE)


def static_text(name: str) -> str:
    """Return one of the files that pages are made of."""
    return (STATIC / name).read_text("utf-8")


def bundle(entry: str) -> str:
    """Return the module `entry` and all that it imports as one script for `type="module"`."""
    done: dict[str, str] = {}
    _add(entry, done)
    return "\n".join(done.values())


def _add(name: str, done: dict[str, str]) -> None:
    text = static_text(f"{name}.js")
    for found in _IMPORT.finditer(text):
        if found[3] not in done:
            _add(found[3], done)
    body = _IMPORT.sub(_as_constant, text)
    exports = ", ".join(_EXPORT.findall(body))
    body = _EXPORT.sub("", body)
    if re.search(r"^(import|export)\b", body, re.MULTILINE):
        raise AssertionError(f"{name}.js imports or exports in a way that bundle() cannot read")
    done[name] = f"const {name}_module = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"


def _as_constant(found: re.Match[str]) -> str:
    everything, names, module = found.groups()
    if everything:
        return f"const {everything} = {module}_module;"
    return f"const {{{names.replace(' as ', ': ')}}} = {module}_module;"


def self_contained(title: str, body: str, entry: str, data: object) -> str:
    """Return a whole HTML page: `body` is trusted HTML, everything in `data` is only data."""
    style, script = static_text("app.css"), bundle(entry)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR}<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n{body}\n"
        f'<script type="application/gzip" id="data">{pack(data)}</script>\n'
        f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def is_our_page(path: Path) -> bool:
    """Tell whether a file is a page that zeropoint wrote, of this version or an earlier one."""
    try:
        if not path.is_file():  # a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            start = file.read(_HEAD_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    return _OURS.match(start) is not None


def pack(data: object) -> str:
    """Return data as base64 of gzipped JSON, arrays of numbers as typed arrays inside it."""
    text = json.dumps(plain(data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode("utf-8", "replace"), 9, mtime=0)).decode()


def plain(value: object) -> object:
    """Return `value` as JSON can say it; what is not finite becomes null."""
    if isinstance(value, np.ndarray):
        kind = {"f": "<f4", "i": "<i4", "u": "<i4"}[value.dtype.kind]
        data = np.ascontiguousarray(value, kind).tobytes()
        return {"$": kind[1:], "data": base64.b64encode(data).decode()}
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return None
    return value


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
