"""The figure that starts runs and shows the running ones, for any page."""

from collections.abc import Sequence

from zeropoint.studio.data.job_forms import forms_for
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.report.html import Html, figure, paragraph

START_NOTE = (
    "Jobs run one at a time. A cancelled job can be resumed, and the list stays when the studio "
    "restarts."
)
NO_MODEL_NOTE = paragraph("There is no model in this folder, so nothing can be started here.")


def start_here(
    library: Library, verbs: Sequence[str], title: str, one: LibraryEntry | None = None
) -> tuple[Html, PageData]:
    """Return the form that starts these verbs, with one model preselected, and its page data."""
    if not library.listing().of("model"):
        return NO_MODEL_NOTE, {}
    drawn = figure("jobs", "f-jobs", title, START_NOTE)
    return drawn, {"forms": forms_for(library, verbs, one)}
