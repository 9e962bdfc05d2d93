"""Where commands are started and watched: the page Jobs, and the foot of the pages they are for."""

from collections.abc import Sequence

from zeropoint.studio.http.job_forms import FORMS, forms_for
from zeropoint.studio.http.library import Library
from zeropoint.studio.pages.layout import FOOT, page, rail, top
from zeropoint.studio.report.bundle import PageData
from zeropoint.studio.report.html import Raw, figure

NOTE = (
    "They run one at a time and end with the studio. What was cancelled goes on from where it was."
)
NO_MODEL = Raw("<p>There is no model below the root, so nothing can be started here.</p>")


def jobs_page(library: Library) -> str:
    """Return the page that starts, watches and cancels what the command line does."""
    lead = "Each is a command, run on its own, one at a time. What it writes is new, in the folder."
    drawn, data = start_here(library, tuple(FORMS), "Commands of this studio")
    body = f"{top('jobs', 'Start a command, and watch it', lead)}<main>{drawn}</main>{FOOT}"
    return page("Jobs", rail(library, "/jobs"), body, data)


def start_here(library: Library, verbs: Sequence[str], title: str) -> tuple[Raw, PageData]:
    """Return the figure that starts these verbs, and its data for the page."""
    if not library.listing().of("model"):
        return NO_MODEL, {}
    drawn = figure("jobs", "f-jobs", title, NOTE)
    return drawn, {"forms": forms_for(library, verbs)}
