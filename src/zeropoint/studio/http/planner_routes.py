"""The routes of the pages Plan, Speed and Size vs bits."""

from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zeropoint.errors import ZeropointError
from zeropoint.plans.planner.options import PlanOptions
from zeropoint.studio.data.library import Library
from zeropoint.studio.data.page_data import PageData
from zeropoint.studio.data.planner import Planner, PlanRequest
from zeropoint.studio.http.requests import (
    Words,
    body_of,
    flag_in,
    list_in,
    number_in,
    text_in,
    whole_in,
)
from zeropoint.studio.http.responses import as_html, as_line
from zeropoint.studio.pages import plan

# Limits of one request.
MAX_MODELS = 8
MAX_FORMATS = 12
MAX_DEVICES = 64
MAX_USERS = 4096
MAX_CONFIG_CHARACTERS = 200_000
MAX_CONTEXT_TOKENS = 2**24


class PlannerRoutes:
    """Request handlers of the planner for one library."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.planner = Planner(library)

    def table(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/plan", self.plan),
            Route("/api/plan", self.answer_plan, methods=["POST"]),
            Route("/speed", self.speed),
            Route("/api/speed", self.answer_speed, methods=["POST"]),
            Route("/size", self.size),
        ]

    def plan(self, request: Request) -> Response:
        return as_html(plan.plan_page(self.library, self.planner))

    def speed(self, request: Request) -> Response:
        return as_html(plan.speed_page(self.library, self.planner))

    def size(self, request: Request) -> Response:
        return as_html(plan.size_page(self.library, self.planner))

    async def answer_plan(self, request: Request) -> Response:
        return await self._answered(request, self.planner.answer)

    async def answer_speed(self, request: Request) -> Response:
        return await self._answered(request, self.planner.speeds)

    @staticmethod
    async def _answered(request: Request, of: Callable[[PlanRequest], PageData]) -> Response:
        """Answer a request of a page; an invalid request gets an answer with the error."""
        asked = read_plan_request(await body_of(request))
        try:
            return as_line(await run_in_threadpool(of, asked))
        except ZeropointError as error:
            return as_line({"error": str(error)})


def read_plan_request(body: Words) -> PlanRequest:
    """Check the body of a request. Raises HTTPException(400) for values of the wrong kind."""
    return PlanRequest(
        models=list_in(body, "models", MAX_MODELS),
        sizes=list_in(body, "sizes", MAX_MODELS),
        config=text_in(body, "config", maximum=MAX_CONFIG_CHARACTERS).strip(),
        devices=list_in(body, "devices", MAX_DEVICES),
        options=PlanOptions(
            context=whole_in(body, "ctx", 1, MAX_CONTEXT_TOKENS),
            users=whole_in(body, "users", 1, MAX_USERS),
            kv=f"{text_in(body, 'keys', maximum=8)}/{text_in(body, 'values', maximum=8)}",
            objective=text_in(body, "objective", maximum=16),
            to=list_in(body, "to", MAX_FORMATS),
            full_windows=flag_in(body, "full_windows"),
            ram=text_in(body, "ram", maximum=32),
            host=text_in(body, "host", maximum=64),
            ssd=number_in(body, "ssd", 0.001, 999),
        ),
    )
