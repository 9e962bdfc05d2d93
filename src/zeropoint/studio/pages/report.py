"""The report of chosen runs, inside the studio."""

from collections.abc import Sequence
from urllib.parse import urlencode

from zeropoint.studio.data import measure_runs
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.pages.layout import page, sidebar
from zeropoint.studio.report.html import element, fragment, without_skip_link
from zeropoint.studio.report.report import report_of

HASHED_BYTES = 2 << 30  # of a file; larger ones are hashed for the file that is saved


def report_page(library: Library, runs: Sequence[LibraryEntry]) -> str:
    """Return the report of these runs, inside the studio. Raises CheckpointError for a bad one."""
    opened = measure_runs.open_runs([run.path for run in runs])
    title, body, entry, data = report_of(opened, hashed_bytes=HASHED_BYTES)
    save = "/report/file?" + urlencode([("run", run.id) for run in runs])
    saving = element(
        "nav",
        element("a", "Save as one file", href=save, download="report.html"),
        class_="save",
        aria_label="This report",
    )
    content = fragment(saving, without_skip_link(body))
    return page(title, sidebar(library, "/report"), content, data, entry)
