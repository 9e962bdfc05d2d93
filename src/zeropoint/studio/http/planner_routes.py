"""The addresses of Plan, Speed and Size vs bits."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zeropoint.errors import ZeropointError
from zeropoint.studio.data.planner import Planner
from zeropoint.studio.http.library import Library
from zeropoint.studio.http.requests import Words, body_of
from zeropoint.studio.http.responses import as_html, as_line
from zeropoint.studio.pages import plan as planned
from zeropoint.studio.report.bundle import PageData


class PlannerRoutes:
    """What these addresses do, on one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.planner = Planner(library)

    def table(self) -> list[Route]:
        """Return the addresses."""
        return [
            Route("/plan", self.plan),
            Route("/api/plan", self.answer_plan, methods=["POST"]),
            Route("/speed", self.speed),
            Route("/api/speed", self.answer_speed, methods=["POST"]),
            Route("/size", self.size),
        ]

    def plan(self, request: Request) -> Response:
        return as_html(planned.plan_page(self.library, self.planner))

    def speed(self, request: Request) -> Response:
        return as_html(planned.speed_page(self.library, self.planner))

    def size(self, request: Request) -> Response:
        return as_html(planned.size_page(self.library, self.planner))

    async def answer_plan(self, request: Request) -> Response:
        return await self._answered(request, self.planner.answer)

    async def answer_speed(self, request: Request) -> Response:
        return await self._answered(request, self.planner.speeds)

    @staticmethod
    async def _answered(request: Request, of: Callable[[Words], PageData]) -> Response:
        """Answer a question of a page; that it makes no sense is an answer too, as on a stream."""
        words = await body_of(request)
        try:
            return as_line(await run_in_threadpool(of, words))
        except ZeropointError as error:
            return as_line({"error": str(error)})
