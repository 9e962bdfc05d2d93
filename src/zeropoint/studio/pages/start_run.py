"""The figure that starts runs and shows the running ones, for any page."""

from collections.abc import Sequence

from zeropoint.studio.data.job_forms import forms_for
from zeropoint.studio.data.library import Library
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.report.html import Html, figure, paragraph

START_NOTE = (
    "They run one at a time and end with the studio. What was cancelled goes on from where it was."
)
NO_MODEL_NOTE = paragraph("There is no model below the root, so nothing can be started here.")


def start_here(library: Library, verbs: Sequence[str], title: str) -> tuple[Html, PageData]:
    """Return the form that starts these verbs, and its data for the page."""
    if not library.listing().of("model"):
        return NO_MODEL_NOTE, {}
    drawn = figure("jobs", "f-jobs", title, START_NOTE)
    return drawn, {"forms": forms_for(library, verbs)}
