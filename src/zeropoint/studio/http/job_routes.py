"""The routes of the page Jobs: the list of jobs, and their start and cancellation."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zeropoint.studio.data.library import Library
from zeropoint.studio.http.job_commands import command
from zeropoint.studio.http.job_list import JobList
from zeropoint.studio.http.jobs import JobQueue
from zeropoint.studio.http.requests import body_of, query_integer
from zeropoint.studio.http.responses import as_html, as_json, as_line
from zeropoint.studio.pages.jobs import jobs_page


class JobRoutes:
    """Request handlers of jobs for one library, whose list `kept` stores, if it is given."""

    def __init__(self, library: Library, kept: JobList | None) -> None:
        self.library = library
        if kept is None:
            self.queue = JobQueue(library.forget)
        else:
            self.queue = JobQueue(library.forget, earlier=kept.load(), keep=kept.save)

    def table(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/jobs", self.page),
            Route("/api/jobs", self.list),
            Route("/api/jobs/start", self.start, methods=["POST"]),
            Route("/api/jobs/{job}/cancel", self.cancel, methods=["POST"]),
        ]

    def page(self, request: Request) -> Response:
        return as_html(jobs_page(self.library))

    def list(self, request: Request) -> Response:
        return as_json([job.as_page_data() for job in self.queue.listed()])

    async def start(self, request: Request) -> Response:
        body = await body_of(request)
        asked = await run_in_threadpool(command, body, self.library)
        try:
            return as_line(self.queue.start(asked).as_page_data())
        except KeyError:
            raise HTTPException(409, "an unfinished job already writes this run") from None

    async def cancel(self, request: Request) -> Response:
        number = query_integer(request.path_params, "job", 0)
        try:
            return as_line(self.queue.cancel(number).as_page_data())
        except KeyError:
            raise HTTPException(404, "there is no such job") from None
