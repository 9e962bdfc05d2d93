"""The figure that starts runs and shows the running ones, for any page."""

from collections.abc import Sequence

from zeropoint.studio.data.job_forms import forms_for
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.pages.lists import NO_MODELS_NOTE
from zeropoint.studio.report.html import Html, figure

START_NOTE = (
    "Jobs run one at a time. A cancelled job can be resumed, and the list stays when the studio "
    "restarts."
)


def start_here(
    library: Library, verbs: Sequence[str], title: str, one: LibraryEntry | None = None
) -> tuple[Html, PageData]:
    """Return the form that starts these verbs, with one model preselected, and its page data."""
    if not library.listing().of("model"):
        return NO_MODELS_NOTE, {}
    drawn = figure("jobs", "f-jobs", title, START_NOTE)
    return drawn, {"forms": forms_for(library, verbs, one)}
