"""Results as HTML, for notebooks: one table, and a figure if a room above registered one.

Notebooks call `_repr_html_` of the last value of a cell. This room draws nothing: whoever draws a
kind of result registers a function that returns a whole HTML page (`register_figure`), and the page
is shown in an `<iframe srcdoc>`, so that its styles and scripts stay apart from the notebook's.
"""

from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, TypeVar

MAX_ROWS = 60  # of a table in a notebook; `rows` and `to_pandas` have all
FIGURE_HEIGHT_PIXELS = 640

R = TypeVar("R")
_figures: dict[type[Any], Callable[[Any], str]] = {}
_loaders: list[Callable[[], None]] = []


def register_figure(kind: type[R], draw: Callable[[R], str]) -> None:
    """Register the function that returns a whole HTML page with the figure of a kind of result.

    `draw` is called when a notebook shows such a result. It returns "" if there is nothing to draw.
    """
    _figures[kind] = draw


def load_figures_with(load: Callable[[], None]) -> None:
    """Have `load` called before the first result is shown: it imports and registers figures."""
    _loaders.append(load)


def as_html(record: object, rows: Sequence[Mapping[str, object]]) -> str:
    """Return a result as HTML: its one-line text, its rows as a table, and its figure."""
    parts = [f"<p><code>{escape(repr(record))}</code></p>", _table(rows)]
    while _loaders:
        _loaders.pop()()
    draw = _figures.get(type(record))
    if draw is not None and (page := draw(record)):
        parts.append(
            f'<iframe srcdoc="{escape(page)}" sandbox="allow-scripts" loading="lazy" '
            f'title="{escape(type(record).__name__)}" '
            f'style="width: 100%; height: {FIGURE_HEIGHT_PIXELS}px; border: 0"></iframe>'
        )
    return "".join(parts)


def _table(rows: Sequence[Mapping[str, object]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row if _shown(row[key])))
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(_cell(row.get(name)))}</td>' for name in columns)}</tr>"
        for row in rows[:MAX_ROWS]
    )
    more = (
        f"<p>{len(rows) - MAX_ROWS} more rows; rows() has all.</p>" if len(rows) > MAX_ROWS else ""
    )
    return (
        f'<div style="overflow-x: auto"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{more}"
    )


def _shown(value: object) -> bool:
    """Whether a value fits into a table cell: lists and unknown values do not."""
    return value is not None and not isinstance(value, list | tuple | Mapping)


def _cell(value: object) -> str:
    if not _shown(value):
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
