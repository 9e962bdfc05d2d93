"""The page Jobs, which starts verbs and shows their progress."""

from zeropoint.studio.data.job_forms import STARTED_ON_JOBS
from zeropoint.studio.data.library import Library
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.pages.start_run import start_here


def jobs_page(library: Library) -> str:
    """Return the page that starts, follows and cancels verbs of the command line."""
    lead = "Each is a command, run on its own, one at a time. What it writes is new, in the folder."
    drawn, data = start_here(library, STARTED_ON_JOBS, "Commands of this studio")
    body = content(header("jobs", "Start a command, and watch it", lead), drawn)
    return page("Jobs", sidebar(library, "/jobs"), body, data)
