"""The studio's routes: HTML pages, and JSON for their figures.

Only jobs write files, and the request that starts one by a recipe, which writes the recipe.

Parameters are checked in this module only: a number outside its range, or any other text, is a
400; an id that the listing does not have is a 404; a file that cannot be read is a 422 with the
sentence that the command line would print.
"""

from collections.abc import Callable
from typing import TypeVar

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zeropoint.errors import ZeropointError
from zeropoint.studio.data import measure_runs, weights
from zeropoint.studio.data.dot_product import runtime_arithmetic
from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel, OpenedModels, block_of, outliers
from zeropoint.studio.http.guard import BUG_MESSAGE
from zeropoint.studio.http.job_list import JobList
from zeropoint.studio.http.job_routes import JobRoutes
from zeropoint.studio.http.model_worker import ModelWorker
from zeropoint.studio.http.planner_routes import PlannerRoutes
from zeropoint.studio.http.product_request import product_records, read_product_request
from zeropoint.studio.http.recipe_routes import RecipeRoutes
from zeropoint.studio.http.requests import (
    MAX_ANSWER_TOKENS,
    body_of,
    history_in,
    number_in,
    query_integer,
    streamed,
    text_in,
    whole_in,
)
from zeropoint.studio.http.responses import as_html, as_json
from zeropoint.studio.pages.chat import chat
from zeropoint.studio.pages.home import home
from zeropoint.studio.pages.lab import lab
from zeropoint.studio.pages.layout import refused
from zeropoint.studio.pages.learn import learn
from zeropoint.studio.pages.long_run import long_run
from zeropoint.studio.pages.measure import choose_measured, compared, measured
from zeropoint.studio.pages.model import make_page, measure_page, overview
from zeropoint.studio.pages.model_map import model_map
from zeropoint.studio.pages.multiply import multiply
from zeropoint.studio.pages.report import report_page
from zeropoint.studio.pages.search import searched
from zeropoint.studio.pages.walk import walk_page, walk_runs
from zeropoint.studio.pages.weights import weights_lab
from zeropoint.studio.report.report import render_report
from zeropoint.studio.static_files import static_files

MAX_REPORT_RUNS = 32  # in one report

T = TypeVar("T")

STATIC_FILES = static_files((".js", ".css", ".safetensors"))
STATIC_MEDIA_TYPES = {
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "safetensors": "application/octet-stream",
}


class StudioRoutes:
    """Request handlers for one library. `jobs` is where its list of jobs is kept, if it is."""

    def __init__(self, library: Library, jobs: JobList | None = None) -> None:
        self.library = library
        self.shelf = OpenedModels()
        self.planner = PlannerRoutes(library)
        self.worker = ModelWorker()
        self.recipes = RecipeRoutes(library, self.worker, self._model)
        self.jobs = JobRoutes(library, jobs)

    def table(self) -> list[Route]:
        """Return every route of the studio."""
        one = "/models/{model}"
        api = "/api/models/{model}"
        tensor = api + "/tensors/{tensor}"
        return [
            Route("/", self.home),
            Route("/static/{name:path}", self.static),
            Route("/report", self.report),
            Route("/report/file", self.report_file),
            Route("/measure", self.measure),
            Route("/compare", self.compare),
            Route("/long-run", self.long_run),
            Route("/search", self.search),
            Route("/learn", self.learn),
            Route(one, self.overview),
            Route(one + "/make", self.make),
            Route(one + "/measure", self.measure_model),
            Route(one + "/map", self.map),
            Route(one + "/weights", self.weights),
            Route(one + "/lab", self.lab),
            Route(one + "/walk", self.walk),
            Route(one + "/multiply", self.multiply),
            Route(api, self.describe),
            Route(api + "/scan", self.scan),
            Route(tensor, self.tensor),
            Route(tensor + "/outliers", self.outliers),
            Route(tensor + "/block", self.block),
            Route(tensor + "/ablate", self.ablate, methods=["POST"]),
            Route(tensor + "/product", self.product, methods=["POST"]),
            Route("/api/multiply", self.runtime_arithmetic),
            Route("/chat", self.chat),
            Route("/api/chat", self.say, methods=["POST"]),
            *self.planner.table(),
            *self.recipes.table(),
            *self.jobs.table(),
        ]

    def app(self) -> Starlette:
        """Return the application, without its guard (guard.py)."""
        return Starlette(
            routes=self.table(),
            exception_handlers={
                HTTPException: self.refuse,
                ZeropointError: self.explain,
                OSError: self.explain,
                Exception: self.fail,
            },
        )

    # Pages

    def home(self, request: Request) -> Response:
        return as_html(home(self.library))

    def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC_FILES:
            raise HTTPException(404, "there is no such file")
        return Response(STATIC_FILES[name], media_type=STATIC_MEDIA_TYPES[name.rpartition(".")[2]])

    def learn(self, request: Request) -> Response:
        return as_html(learn(self.library))

    def overview(self, request: Request) -> Response:
        return as_html(overview(self.library, *self._model(request)))

    def make(self, request: Request) -> Response:
        return as_html(make_page(self.library, self._model(request)[0]))

    def measure_model(self, request: Request) -> Response:
        return as_html(measure_page(self.library, self._model(request)[0]))

    def map(self, request: Request) -> Response:
        entry, model = self._model(request)
        return as_html(model_map(self.library, entry, model))

    def weights(self, request: Request) -> Response:
        entry, model = self._model(request)
        return as_html(weights_lab(self.library, entry, model))

    def lab(self, request: Request) -> Response:
        entry, model = self._model(request)
        if not model.matrices:
            raise HTTPException(404, "this file has no matrices")
        default = model.names.index(model.default_matrix())
        query = request.query_params
        index = query_integer(query, "tensor", default)
        row, column = query_integer(query, "row", 0), query_integer(query, "column", 0)
        page = _inside(lambda: lab(self.library, entry, model, index, row, column))
        return as_html(page)

    def walk(self, request: Request) -> Response:
        entry, model = self._model(request)
        chosen = self._runs(request)
        runs = measure_runs.open_runs([run.path for run in chosen])
        listed = self.library.listing().of("run")
        form = walk_runs(entry, listed, [run.id for run in chosen])
        return as_html(walk_page(self.library, entry, model, runs, form))

    def multiply(self, request: Request) -> Response:
        entry, model = self._model(request)
        return as_html(multiply(self.library, entry, model))

    def report(self, request: Request) -> Response:
        runs = self._runs(request)
        if not runs:
            raise HTTPException(400, "Select the runs of the report on Home.")
        return as_html(report_page(self.library, runs))

    def measure(self, request: Request) -> Response:
        runs = self._runs(request)
        if not runs:
            return as_html(choose_measured(self.library))
        shown = min(query_integer(request.query_params, "shown", 0), max(len(runs) - 1, 0))
        return as_html(measured(self.library, runs, shown))

    def compare(self, request: Request) -> Response:
        runs = self._runs(request)
        return as_html(compared(self.library, runs) if runs else choose_measured(self.library))

    def long_run(self, request: Request) -> Response:
        runs = self._runs(request)
        return as_html(long_run(self.library, runs))

    def search(self, request: Request) -> Response:
        return as_html(searched(self.library, self._runs(request)))

    def report_file(self, request: Request) -> Response:
        runs = self._runs(request)
        paths = [run.path for run in runs]
        page = render_report(measure_runs.open_runs(paths))
        saved = {"content-disposition": 'attachment; filename="report.html"'}
        answer = as_html(page)
        answer.headers.update(saved)
        return answer

    # Data

    def describe(self, request: Request) -> Response:
        return as_json(weights.describe_model(self._model(request)[1].checkpoint))

    def scan(self, request: Request) -> Response:
        model = self._model(request)[1]
        ready = model.scan()
        if model.problem:
            raise HTTPException(422, model.problem)
        found: dict[str, object] = {"done": model.done, "total": model.total, "ready": ready}
        if ready:
            found["tensors"] = model.outline()
        return as_json(found)

    def tensor(self, request: Request) -> Response:
        model = self._model(request)[1]
        seen = model.look_at(model.info(self._index(request, model)))
        return as_json({**seen, "counts": [int(n) for n in seen["counts"]]})

    def outliers(self, request: Request) -> Response:
        model = self._model(request)[1]
        return as_json(outliers(model, model.info(self._index(request, model))))

    def block(self, request: Request) -> Response:
        model = self._model(request)[1]
        info = model.info(self._index(request, model))
        query = request.query_params
        row, column = query_integer(query, "row", 0), query_integer(query, "column", 0)
        name = query.get("format") or None
        if name is not None and len(name) > 64:
            raise HTTPException(400, "there is no format of this name")
        return as_json(_inside(lambda: block_of(model, info, row, column, name)))

    def runtime_arithmetic(self, request: Request) -> Response:
        query = request.query_params
        return as_json(runtime_arithmetic(query.get("device", "here"), query.get("format", "Q4_K")))

    async def product(self, request: Request) -> Response:
        words = await body_of(request)
        entry, model = await run_in_threadpool(self._model, request)
        info = model.info(self._index(request, model))
        asked = read_product_request(words, info)
        return streamed(product_records(self.worker, entry, model, info, asked))

    # Results that the worker computes

    def chat(self, request: Request) -> Response:
        return as_html(chat(self.library, self.library.listing().of("model")))

    async def say(self, request: Request) -> Response:
        words = await body_of(request)
        ids = words.get("models")
        if not isinstance(ids, list) or not 1 <= len(ids) <= 2:
            raise HTTPException(400, "models must be a list of one or two ids")
        found = [self._find(id if isinstance(id, str) else "", "model") for id in ids]
        asked = {
            "models": [str(entry.path) for entry in found],
            "talk": text_in(words, "talk", maximum=64),
            "text": text_in(words, "text", minimum=1),
            "history": history_in(words, len(ids)),
            "tokens": whole_in(words, "tokens", 1, MAX_ANSWER_TOKENS),
            "seed": whole_in(words, "seed", 0, 2**32 - 1),
            "temperature": number_in(words, "temperature", 0, 5),
        }
        return streamed(self.worker.run("chat", asked))

    async def ablate(self, request: Request) -> Response:
        words = await body_of(request)
        entry, model = await run_in_threadpool(self._model, request)
        info = model.info(self._index(request, model))
        if len(info.shape) != 2:
            raise HTTPException(400, "single weights of experts cannot be removed")
        asked = {
            "model": str(entry.path),
            "tensor": info.name,
            "row": whole_in(words, "row", 0, info.rows - 1),
            "column": whole_in(words, "column", 0, info.columns - 1),
            "text": text_in(words, "text"),
            "prompt": text_in(words, "prompt", minimum=1),
        }
        return streamed(self.worker.run("ablate", asked))

    # Objects that an address names

    def _model(self, request: Request) -> tuple[LibraryEntry, OpenedModel]:
        entry = self._find(request.path_params["model"], "model")
        return entry, self.shelf.open(entry.path)

    def _runs(self, request: Request) -> list[LibraryEntry]:
        ids = request.query_params.getlist("run")
        if len(ids) > MAX_REPORT_RUNS:
            raise HTTPException(400, f"a report has at most {MAX_REPORT_RUNS} runs")
        return [self._find(id, "run") for id in dict.fromkeys(ids)]

    def _find(self, id: str, kind: str) -> LibraryEntry:
        try:
            return self.library.find(id, "run" if kind == "run" else "model")
        except KeyError:
            message = (
                f"This {kind} is no longer in the folder {self.library.root.name}; it was moved, "
                "renamed or deleted."
            )
            raise HTTPException(404, message) from None

    @staticmethod
    def _index(request: Request, model: OpenedModel) -> int:
        index = query_integer(request.path_params, "tensor", 0)
        if not (index < len(model.names) and model.names[index] in model.matrices):
            raise HTTPException(404, "there is no matrix with this index")
        return index

    # Errors

    def refuse(self, request: Request, error: Exception) -> Response:
        """Return an error response with the reason, as a page or as JSON."""
        assert isinstance(error, HTTPException)
        return self._told(request, error.status_code, error.detail)

    def explain(self, request: Request, error: Exception) -> Response:
        """Return an error response with the sentence that the command line would print."""
        return self._told(request, 422, str(error))

    def fail(self, request: Request, error: Exception) -> Response:
        """Return the response to a bug's exception; the guard reports it on stderr."""
        return self._told(request, 500, BUG_MESSAGE)

    def _told(self, request: Request, status: int, as_page_data: str) -> Response:
        if request.url.path.startswith("/api/"):
            return as_json({"error": as_page_data}, status)
        if request.url.path.startswith("/static/"):
            return Response(as_page_data, status, media_type="text/plain")
        return as_html(refused(self.library, status, as_page_data), status)


def _inside(compute: Callable[[], T]) -> T:
    """Return the result of `compute`; a position outside of the tensor becomes HTTP status 400."""
    try:
        return compute()
    except IndexError as error:
        raise HTTPException(400, str(error)) from None
    except KeyError:
        raise HTTPException(404, "there is no matrix with this index") from None
