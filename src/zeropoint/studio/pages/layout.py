"""The layout of the studio's pages: the page itself, the sidebar, the header and the footer.

A page is HTML written in Python and JSON data in a block that no browser runs; its figures are the
same modules as in the files that open from a disk (report/bundle.py).
"""

import re
from html import escape

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import pack
from zeropoint.studio.report.bundle import GENERATOR
from zeropoint.studio.report.html import text

# What a block can be opened in: what files hold, and plain integers and tables beside it.
BLOCK_FORMATS = (
    "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4 NVFP4 TQ1_0 TQ2_0 "
    "INT2_SYM_G32 INT3_SYM_G32 INT4_SYM_G32 INT4_ASYM_G32 INT8_SYM_G32 INT4_SYM_ROW NF4_G64"
).split()


FOOTER = (
    "<footer><p>This page is served by zeropoint on this machine, to this browser alone. It reads "
    "files below the folder on the left and sends nothing anywhere.</p></footer>"
)


def page(title: str, sidebar: str, body: str, data: object = None, entry: str = "studio") -> str:
    """Return a served page: style and scripts by address, data in an island."""
    island = "" if data is None else pack(data)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR}<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)} · zeropoint</title>\n"
        '<link rel="stylesheet" href="/static/entries/app.css">\n'
        '<link rel="stylesheet" href="/static/entries/studio.css">\n'
        '<link rel="icon" href="data:,">\n'
        f'</head>\n<body class="studio">\n{sidebar}\n<div id="content">{body}</div>\n'
        f'<script type="application/gzip" id="data">{island}</script>\n'
        f'<script type="module" src="/static/entries/{entry}.js"></script>\n</body>\n</html>\n'
    )


def sidebar(library: Library, here: str, model: LibraryEntry | None = None) -> str:
    """Return the way around: home, and the pages of the model that is open."""
    main = (
        ("/", "Models and runs"),
        ("/long-run", "Long run"),
        ("/chat", "Chat"),
        ("/jobs", "Jobs"),
    )
    do = ("/plan", "Plan"), ("/speed", "Speed"), ("/size", "Size vs bits")
    groups = [("", [*main]), ("Do", [*do])]
    if model is not None:
        base = f"/models/{model.id}"
        groups += [
            ("Look", [(f"{base}/map", "Model map"), (f"{base}/weights", "Weights lab"),
                      (f"{base}/multiply", "Multiply")]),
            ("Learn", [(f"{base}/lab", "Number and quantizer lab"), (f"{base}/walk", "The walk")]),
        ]  # fmt: skip
    parts = [
        '<a class="skip" href="#content">Skip to the page</a>',
        '<nav class="rail" aria-label="Studio"><p class="brand">zeropoint</p>',
        f'<p class="root" title="the folder that is shown">{text(library.root)}</p>',
        f'<p class="model">{text(model.name)}</p>' if model else "",
    ]
    for name, links in groups:
        parts.append(f"<p>{escape(name)}</p><ul>" if name else "<ul>")
        for to, told in links:
            current = ' aria-current="page"' if to == here else ""
            parts.append(f'<li><a href="{escape(to)}"{current}>{escape(told)}</a></li>')
        parts.append("</ul>")
    return "".join(parts) + "</nav>"


def header(kicker: str, title: object, lead: str) -> str:
    """Return the head of a page: what it is and what it is for."""
    return (
        f'<header class="top"><p class="kicker">{escape(kicker)}</p><h1>{text(title)}</h1>'
        f'<p class="lead">{escape(lead)}</p>'
        "<noscript><p>PageData of the studio need scripts.</p></noscript></header>"
    )


def inside(body: str) -> str:
    """Return the body of a page of its own without its first link: the studio's page has one."""
    return re.sub('<a class="skip"[^>]*>[^<]*</a>', "", body)


def refused(library: Library, status: int, told: str) -> str:
    """Return the page of an error: what is wrong, in the words of the command line."""
    body = header("studio", "This could not be shown" if status != 404 else "Not here", told)
    return page("Not shown", sidebar(library, ""), f"{body}<main></main>{FOOTER}")
