"""The few HTML parts that pages are written with. Whatever comes out of a file is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape

from zeropoint.formatting import format_bytes


class Raw(str):
    """HTML that we wrote ourselves; all other text is escaped."""

    __slots__ = ()


def text(value: object) -> str:
    """Return a value as HTML text; a number with digits that a person can read.

    >>> text("<b>"), text(0.0123456), text(None)
    ('&lt;b&gt;', '0.01235', '–')
    """
    if isinstance(value, Raw):
        return value
    if value is None:
        return "–"
    if isinstance(value, float):
        return escape(number(value))
    return escape(str(value))


def number(value: float | None, digits: int = 4) -> str:
    """Return so many significant digits.

    >>> number(1234.5678), number(0.000012345), number(0.0), number(float("nan"))
    ('1235', '1.234e-05', '0', '–')
    """
    return "–" if value is None or value != value else f"{value:.{digits}g}"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a share as per cent.

    >>> percent(0.9731), percent(None)
    ('97.31 %', '–')
    """
    return "–" if value is None or value != value else f"{100 * value:.{digits}f} %"


def size(count: float) -> str:
    """Return bytes as a person reads them."""
    return format_bytes(count)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> Raw:
    """Return a table; a column whose name begins with ">" is set right."""
    right = [name.startswith(">") for name in columns]
    head = "".join(
        f'<th scope="col"{_right(r)}>{escape(name.removeprefix(">"))}</th>'
        for name, r in zip(columns, right, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{_right(r)}>{text(c)}</td>" for c, r in zip(row, right, strict=True))
        + "</tr>\n"
        for row in rows
    )
    told = f"<caption>{escape(caption)}</caption>" if caption else ""
    name = escape(caption or "Table")
    return Raw(
        f'<div class="tablewrap" tabindex="0" role="group" aria-label="{name}">'
        f"<table>{told}<thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _right(right: bool) -> str:
    return ' class="number"' if right else ""


def facts(pairs: Iterable[tuple[str, object]]) -> Raw:
    """Return names and what they are, as a list."""
    inside = "".join(f"<dt>{escape(name)}</dt><dd>{text(value)}</dd>\n" for name, value in pairs)
    return Raw(f'<dl class="facts">{inside}</dl>')


def figure(visual: str, name: str, caption: str, note: str = "", **data: str) -> Raw:
    """Return the place of a visual; scripts fill it."""
    more = "".join(f' data-{key}="{escape(value)}"' for key, value in data.items())
    return Raw(
        f'<figure data-visual="{visual}" id="{name}"{more}><figcaption>{escape(caption)}'
        f"<small>{escape(note)}</small></figcaption></figure>"
    )


def section(name: str, index: str, title: str, *parts: str) -> Raw:
    """Return a section with its heading."""
    return Raw(
        f'<section id="{name}"><h2><span class="n">{escape(index)}</span>{escape(title)}</h2>\n'
        + "\n".join(parts)
        + "</section>\n"
    )


def folded(summary: str, *parts: str) -> Raw:
    """Return parts that open on demand (and are open where scripts are off: they stay readable)."""
    return Raw(
        f'<details class="wide"><summary>{escape(summary)}</summary>{"".join(parts)}</details>'
    )


def wide(part: str) -> Raw:
    """Return a part that may be wider than the text."""
    return Raw(f'<div class="wide">{part}</div>')
