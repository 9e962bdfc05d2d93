"""Parts of a picture in SVG. Texts from outside are escaped and fitted into the space they have.

A picture is used where no style sheet and no script reach it, in light and dark surroundings. It
therefore has its own background, colours for both, and only fonts of the system.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from textwrap import wrap
from unicodedata import east_asian_width

from zeropoint.errors import printable
from zeropoint.formats import find_format
from zeropoint.studio.report.html import Html, element, fragment, literal

STYLE = literal(
    "text{font:13px system-ui,-apple-system,'Segoe UI',Roboto,'Noto Sans',sans-serif;fill:#1c2128}"
    ".bg{fill:#fff}.soft{fill:#57606a}.small{font-size:11px}.mono{font-family:ui-monospace,"
    "'SF Mono',Consolas,'Noto Sans Mono',monospace;font-size:12px}.title{font-size:20px;"
    "font-weight:600}.verdict{font-size:16px;font-weight:600}.head{font-weight:600}"
    ".end{text-anchor:end}.mid{text-anchor:middle}.line{stroke:#d0d7de}"
    ".mark{fill:#1f6feb;stroke:#1f6feb}.empty{fill:#eaeef2}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.bg{fill:#0d1117}.soft{fill:#9aa4af}"
    ".line{stroke:#30363d}.mark{fill:#58a6ff;stroke:#58a6ff}.empty{fill:#21262d}}"
)
# Colours of bits per weight, from few to many. They differ from both backgrounds by at least 3:1,
# and for people with any common form of colour blindness also from each other.
RAMP = (
    (1.5, (200, 80, 30)),
    (3.0, (217, 119, 40)),
    (4.5, (150, 125, 110)),
    (6.5, (86, 128, 178)),
    (8.5, (56, 108, 196)),
    (16.0, (96, 84, 190)),
)


def label(x: float, y: float, text: str, classes: str = "") -> Html:
    """Return a line of text, whose base line is at `y`."""
    return element("text", text, x=plain(x), y=plain(y), class_=classes or None)


def box(x: float, y: float, width: float, height: float, **attributes: object) -> Html:
    """Return a rectangle."""
    return element(
        "rect", x=plain(x), y=plain(y), width=plain(width), height=plain(height), **attributes
    )


def line(x: float, y: float, to_x: float, to_y: float, classes: str = "line") -> Html:
    """Return a straight line."""
    ends = {"x1": plain(x), "y1": plain(y), "x2": plain(to_x), "y2": plain(to_y)}
    return element("line", class_=classes, **ends)


def cells(places: Sequence[tuple[float, float, float]], height: float, colour: str) -> Html:
    """Return rectangles of one height and colour as one path, from (x, y, width) each."""
    steps = (
        f"M{plain(x)} {plain(y)}h{plain(w)}v{plain(height)}h-{plain(w)}z" for x, y, w in places
    )
    return element("path", d="".join(steps), fill=colour)


def document(width: float, height: float, title: str, description: str, *parts: Html) -> Html:
    """Return the whole picture; screen readers get its title and its description."""
    return element(
        "svg",
        element("title", fit(title, 200), id="title"),
        element("desc", description, id="desc"),
        element("style", STYLE),
        box(0, 0, width, height, rx=8, class_="bg"),
        fragment(*parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {plain(width)} {plain(height)}",
        width=plain(width),
        height=plain(height),
        role="img",
        aria_labelledby="title desc",
    )


def colour_of(format: str) -> str:
    """Return the colour of a format, by its bits per weight.

    >>> colour_of("F16"), colour_of("F32") == colour_of("F16")
    ('#6054be', True)
    """
    return colour_of_bits(find_format(format).bits_per_weight)


def colour_of_bits(bits: float) -> str:
    """Return the colour of a number of bits per weight; beyond both ends of RAMP it is constant."""
    bits = min(max(bits, RAMP[0][0]), RAMP[-1][0])
    (low, first), (high, last) = next(
        (one, other) for one, other in pairwise(RAMP) if bits <= other[0]
    )
    share = (bits - low) / (high - low)
    mixed = (round(a + (b - a) * share) for a, b in zip(first, last, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)


def fit(text: object, columns: int, *, keep_end: bool = False) -> str:
    """Return text as one line of at most `columns` columns; wide characters take two.

    Characters that XML or a terminal cannot have are escaped.

    >>> fit("a\\x00b", 20), fit("abcdef", 4), fit("abcdef", 4, keep_end=True)
    ('a\\\\x00b', 'abc…', '…def')
    """
    shown = printable(str(text).replace("\n", "↵"), 4 * columns)
    if sum(map(_columns, shown)) <= columns:
        return shown
    taken = list(_that_fit(reversed(shown) if keep_end else iter(shown), columns - 1))
    return "…" + "".join(reversed(taken)) if keep_end else "".join(taken) + "…"


def wrapped(text: str, columns: int) -> list[str]:
    """Return text as lines of at most `columns` columns; with a wide character, of half as many.

    >>> wrapped("a few words", 6)
    ['a few', 'words']
    """
    wide = any(_columns(character) > 1 for character in text)
    return wrap(text, columns // 2 if wide else columns)


def plain(value: float) -> str:
    """Return a coordinate with at most one decimal.

    >>> plain(3.0), plain(3.14159)
    ('3', '3.1')
    """
    return f"{value:.1f}".removesuffix(".0")


def _that_fit(text: Iterator[str], columns: int) -> Iterator[str]:
    used = 0
    for character in text:
        used += _columns(character)
        if used > columns:
            return
        yield character


def _columns(character: str) -> int:
    return 2 if east_asian_width(character) in "WF" else 1
