"""The HTML parts of pages. Only this module writes HTML; it escapes all other text.

`Html` is text that is safe in a page. Other modules get it from the functions below, which escape
what they are given, or from `literal`, whose argument is a constant in the source. A test keeps it
so (tests/studio/test_html_safety.py), and the type checker refuses plain text where HTML belongs.
"""

import re
from collections.abc import Collection, Iterable, Sequence
from html import escape

from zeropoint.formatting import format_bytes, format_number
from zeropoint.studio.static_files import static_text

number = format_number


class Html(str):
    """HTML that is safe in a page: every text from outside in it is escaped."""

    __slots__ = ()


def literal(html: str) -> Html:
    """Return HTML from a string in the source. The argument must be a constant."""
    return Html(html)


def static_html(name: str) -> Html:
    """Return the HTML of a file in `static/`, which is part of the source."""
    return Html(static_text(name))


def figures_of(body: Html) -> dict[str, Html]:
    """Return the figures of a page by their ids, in the order of the page."""
    found = re.finditer(r'<figure [^>]*id="([\w-]+)".*?</figure>', body, re.DOTALL)
    return {match[1]: Html(match[0]) for match in found}


def without_skip_link(body: Html) -> Html:
    """Return the body of a page without its own skip link: the page around it has one."""
    return Html(re.sub('<a class="skip"[^>]*>[^<]*</a>', "", body))


def fragment(*parts: Html) -> Html:
    """Return the concatenation of parts."""
    return Html("".join(parts))


def element(tag: str, *children: object, **attributes: object) -> Html:
    """Return an element. Texts and values of attributes are escaped.

    In names of attributes "_" stands for "-", and one at the end is dropped (`class_`). True writes
    an attribute without a value, False and None leave it out.

    >>> element("a", "1 < 2", href="/?a&b", aria_label="x", hidden=False)
    '<a href="/?a&amp;b" aria-label="x">1 &lt; 2</a>'
    """
    given = "".join(
        f" {name.rstrip('_').replace('_', '-')}"
        + ("" if value is True else f'="{escape(str(value))}"')
        for name, value in attributes.items()
        if value is not None and value is not False
    )
    inside = "".join(text(child) for child in children)
    return Html(f"<{tag}{given}>" + (inside if tag == "input" else f"{inside}</{tag}>"))


def paragraph(*children: object) -> Html:
    """Return a paragraph."""
    return element("p", *children)


def text(value: object) -> Html:
    """Return a value as HTML text; numbers are rounded to a readable number of digits.

    >>> text("<b>"), text(0.0123456), text(None)
    ('&lt;b&gt;', '0.01235', '–')
    """
    if isinstance(value, Html):
        return value
    if value is None:
        return Html("–")
    if isinstance(value, float):
        return Html(escape(number(value)))
    return Html(escape(str(value)))


def names_broken(name: str) -> Html:
    """Return a file name that a line may break after its separators, and nowhere else.

    A format's name, such as Q4_K_M, stays in one piece.

    >>> names_broken("runs/my_model-Q4_K_M.gguf")
    'runs/<wbr>my_<wbr>model-Q4_K_M.gguf'
    """
    return Html(re.sub(r"(/|_(?=[A-Za-z]{4}))", r"\1<wbr>", escape(name)))


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage.

    >>> percent(0.9731), percent(None)
    ('97.31 %', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.{digits}f} %"


def size(count: float) -> str:
    """Return a number of bytes as text with a readable unit."""
    return format_bytes(count)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    *,
    cards: bool = False,
    quiet: Collection[int] = (),
) -> Html:
    """Return a table; a column whose name begins with ">" is right-aligned.

    With `cards`, every row becomes a card on a narrow screen, where cells show their column's name.
    The rows with the indices `quiet` are grey.
    """
    right = [name.startswith(">") for name in columns]
    names = [name.removeprefix(">") for name in columns]
    head = "".join(
        f'<th scope="col"{_right(r)}>{escape(name) or UNNAMED_COLUMN}</th>'
        for name, r in zip(names, right, strict=True)
    )
    labels = [f' data-label="{escape(name)}"' if cards else "" for name in names]
    body = "".join(
        f"<tr{QUIET_ROW if index in quiet else ''}>"
        + "".join(
            f"<td{_right(r)}{label}>{text(c)}</td>"
            for c, r, label in zip(row, right, labels, strict=True)
        )
        + "</tr>\n"
        for index, row in enumerate(rows)
    )
    caption_html = f"<caption>{escape(caption)}</caption>" if caption else ""
    name = escape(caption or "Table")
    kind = ' class="cards"' if cards else ""
    return Html(
        f'<div class="tablewrap" tabindex="0" role="group" aria-label="{name}">'
        f"<table{kind}>{caption_html}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


QUIET_ROW = ' class="few"'
UNNAMED_COLUMN = '<span class="unseen">select, or act</span>'


def _right(right: bool) -> str:
    return ' class="number"' if right else ""


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Return a description list of names and values."""
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{text(value)}</dd>\n" for name, value in pairs)
    return Html(f'<dl class="facts">{inside}</dl>')


def figure(visual: str, name: str, caption: str, note: str = "", **data: str) -> Html:
    """Return the placeholder of a figure; scripts draw into it."""
    more = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    return Html(
        f'<figure data-visual="{visual}" id="{name}"{more}><figcaption>{escape(caption)}'
        f"<small>{escape(note)}</small></figcaption></figure>"
    )


def verdict_chip(word: str) -> Html:
    """Return the verdict's word with its colour."""
    return element("span", word, class_="chip", data_verdict=word.split(",")[0].lower())


def section(name: str, title: str, *parts: Html) -> Html:
    """Return a section with its heading."""
    heading = f'<section id="{name}"><h2>{escape(title)}</h2>\n'
    return Html(heading + "\n".join(parts) + "</section>\n")


def numbered(sections: Sequence[Html]) -> list[Html]:
    """Return sections with numbers in their headings, in the order in which they appear."""
    return [
        Html(one.replace("<h2>", f'<h2><span class="n">{number}</span>', 1))
        for number, one in enumerate(sections, 1)
    ]


def folded(summary: str, *parts: Html) -> Html:
    """Return a collapsible part, which is open if scripts are disabled."""
    return Html(
        f'<details class="wide"><summary>{escape(summary)}</summary>{"".join(parts)}</details>'
    )


def wide(part: Html) -> Html:
    """Return a part that may be wider than the text."""
    return Html(f'<div class="wide">{part}</div>')
