"""Builds whole pages: one self-contained HTML file, or a page with linked parts.

A page is HTML written here, one style sheet, JSON data, and ES modules from `static/`. The studio
serves the modules unchanged. A local file cannot import modules, so `bundle` writes them one after
the other into one inline script, each a function that returns what it exports:

    import { h } from "../lib/dom.js";   →   const { h } = lib_dom;
    export function mount(…) {…}         →   const labs_number = (() => { …; return { mount }; })();

The content security policy names the hash of that script and of the style sheet and allows nothing
else: no request, no injected code. Data is gzip and base64 in a block that no browser runs.

A visual is a module with `export function mount(figure, data, state)`. `figure` is the <figure
data-visual="NAME"> it fills, `data` the page's data, `state` the page's fragment (state.js); it
draws with the modules of lib/ and returns nothing. The same module serves walk, report and studio.
"""

import base64
import hashlib
import posixpath
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

from zeropoint.studio.data.page_data import pack
from zeropoint.studio.report.html import Html, literal
from zeropoint.studio.static_files import static_text

ESSAYS = ("walk", "notebook")  # entries of pages that are read, not worked with
ICON = (  # four bits, one of them set
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 4 4'%3E"
    "%3Cpath fill='%230060a8' d='M0 0h4v4H0z'/%3E"
    "%3Cpath fill='%23fff' d='M1 1h2v2H1z'/%3E%3C/svg%3E"
)
NO_HEAD = literal("")
NO_FILES: Mapping[str, bytes] = {}
GENERATOR = '<meta name="generator" content="zeropoint">\n'

_IMPORT = re.compile(
    r'^import (?:\* as (\w+)|\{([^}]*)\})\s+from "((?:\./|(?:\.\./)+)[\w/]+)\.js";$', re.MULTILINE
)
PAGE_START_BYTES = 512  # enough for the start of a page, whichever of both forms it has
_ZEROPOINT_PAGE_START = re.compile(
    r'<!doctype html>\s*<html lang="en">\s*<head>\s*<meta charset="utf-8">\s*'
    r'(<meta name="generator" content="zeropoint\b'
    # Pages of older versions, which had no generator tag.
    r"|<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
    r"script-src 'sha256-)"
)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|const|class) (\w+))", re.MULTILINE)


def bundle(entry: str) -> str:
    """Return the module `entry` and all that it imports as one script for `type="module"`.

    `entry` is a path below `static/` without its ending, such as "entries/report".
    """
    scripts: dict[str, str] = {}
    _add_module(entry, scripts, ())
    return "\n".join(scripts.values())


def _add_module(module: str, scripts: dict[str, str], importers: tuple[str, ...]) -> None:
    """Add the script of a module after the scripts of its imports, each module once."""
    if module in importers:
        raise AssertionError(f"modules import each other: {' -> '.join((*importers, module))}")
    if module in scripts:
        return
    source = static_text(f"{module}.js")
    for match in _IMPORT.finditer(source):
        _add_module(_resolve(match[3], module), scripts, (*importers, module))
    body = _IMPORT.sub(lambda match: _import_as_constant(match, module), source)
    exports = ", ".join(_EXPORT.findall(body))
    body = _EXPORT.sub("", body)
    if re.search(r"^(import|export)\b", body, re.MULTILINE):
        raise AssertionError(f"{module}.js imports or exports in a way that bundle() cannot read")
    scripts[module] = (
        f"const {constant_of(module)} = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();"
    )


def _import_as_constant(match: re.Match[str], importer: str) -> str:
    namespace, names, path = match.groups()
    constant = constant_of(_resolve(path, importer))
    if namespace:
        return f"const {namespace} = {constant};"
    return f"const {{{names.replace(' as ', ': ')}}} = {constant};"


def _resolve(path: str, importer: str) -> str:
    """Return the module that `importer` names by a relative path."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(importer), path))


def constant_of(module: str) -> str:
    """Return the constant that holds a module's exports in a bundle.

    >>> constant_of("lib/dom")
    'lib_dom_module'
    """
    return f"{module.replace('/', '_')}_module"


def self_contained(
    title: str,
    body: Html,
    entry: str,
    data: object,
    *,
    files: Mapping[str, bytes] = NO_FILES,
    head: Html = NO_HEAD,
) -> str:
    """Return a page as one file that contains its style sheets, scripts, `data` and `files`.

    `head` are further elements of the page's head. Each of the files is in base64 in a block that
    no browser runs, with its key as id.
    """
    style, script = style_of(entry), bundle(f"entries/{entry}")
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR}<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<link rel="icon" href="{ICON}">\n{head}'
        f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n"
        f'<body class="{"essay" if entry in ESSAYS else "tool"}">\n{body}\n'
        f'<script type="application/gzip" id="data">{pack(data)}</script>\n'
        + "".join(
            f'<script type="application/octet-stream" id="{escape(name)}">'
            f"{base64.b64encode(content).decode()}</script>\n"
            for name, content in files.items()
        )
        + f'<script type="module">{script}</script>\n</body>\n</html>\n'
    )


def style_of(entry: str) -> str:
    """Return the style sheet of a page in one file: essays have no tool's visual system."""
    names = ("app",) if entry in ESSAYS else ("app", "tool")
    return "\n".join(static_text(f"entries/{name}.css") for name in names)


def served_page(title: str, sidebar: Html, body: Html, packed: str, entry: str) -> str:
    """Return a page for a server, with linked style sheets and scripts."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR}<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · zeropoint</title>\n"
        '<link rel="stylesheet" href="/static/entries/app.css">\n'
        '<link rel="stylesheet" href="/static/entries/tool.css">\n'
        '<link rel="stylesheet" href="/static/entries/studio.css">\n'
        '<link rel="icon" href="data:,">\n'
        f'</head>\n<body class="tool studio">\n{sidebar}\n<div id="content">{body}</div>\n'
        f'<script type="application/gzip" id="data">{packed}</script>\n'
        '<script type="module" src="/static/entries/menu.js"></script>\n'
        f'<script type="module" src="/static/entries/{entry}.js"></script>\n</body>\n</html>\n'
    )


def is_our_page(path: Path) -> bool:
    """Return whether a file is a page that this or an earlier version of zeropoint wrote."""
    try:
        if not path.is_file():  # a pipe would wait for a writer
            return False
        with path.open("rb") as file:
            start = file.read(PAGE_START_BYTES).decode("utf-8", "replace")
    except OSError:
        return False
    return _ZEROPOINT_PAGE_START.match(start) is not None


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
