"""The report of chosen runs, inside the studio."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import inside, page, sidebar
from zeropoint.studio.report.report import report_of


def report_page(library: Library, runs: Sequence[LibraryEntry]) -> str:
    """Return the report of these runs, inside the studio. Raises CheckpointError for a bad one."""
    title, body, entry, data = report_of(measure_runs.open_runs([run.path for run in runs]))
    save = "/report/file?" + urlencode([("run", run.id) for run in runs])
    link = (
        f'<nav class="save" aria-label="This report"><a href="{escape(save)}" '
        'download="report.html">Save as one file</a></nav>'
    )
    return page(title, sidebar(library, "/report"), link + inside(body), data, entry)
