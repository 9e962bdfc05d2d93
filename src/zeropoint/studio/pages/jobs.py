"""The page Jobs, which starts verbs and shows their progress."""

from zeropoint.studio.data.job_forms import STARTED_ON_JOBS
from zeropoint.studio.data.library import Library
from zeropoint.studio.pages.layout import content, header, page, sidebar
from zeropoint.studio.pages.start_run import start_here


def jobs_page(library: Library) -> str:
    """Return the page that starts, follows and cancels verbs of the command line."""
    lead = "Commands that run on this machine, one at a time. They write new files only."
    drawn, data = start_here(library, STARTED_ON_JOBS, "Start a job")
    body = content(header("", "Jobs", lead), drawn)
    return page("Jobs", sidebar(library, "/jobs"), body, data)
