"""The report of chosen runs, inside the studio."""

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from zeropoint.studio.data import measure_runs as evidence
from zeropoint.studio.data.library import Entry, Library
from zeropoint.studio.pages.layout import inside, page, rail
from zeropoint.studio.report.report import report_of


def report_page(library: Library, runs: Sequence[Entry]) -> str:
    """Return the report of these runs, inside the studio. Raises CheckpointError for a bad one."""
    title, body, entry, data = report_of(evidence.open_runs([run.path for run in runs]))
    save = "/report/file?" + urlencode([("run", run.id) for run in runs])
    link = (
        f'<nav class="save" aria-label="This report"><a href="{escape(save)}" '
        'download="report.html">Save as one file</a></nav>'
    )
    return page(title, rail(library, "/report"), link + inside(body), data, entry)
