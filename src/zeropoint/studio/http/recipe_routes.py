"""The routes of the page Recipe: the page, a recipe after some changes, and predicted losses."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from zeropoint.studio.data.library import Library, LibraryEntry
from zeropoint.studio.data.open_model import OpenedModel
from zeropoint.studio.data.recipe_edits import (
    MAX_EDIT_CHARACTERS,
    MAX_EDITS,
    Predictions,
    RecipeDraft,
    RecipeEdit,
)
from zeropoint.studio.data.search_runs import starts_for
from zeropoint.studio.http.model_worker import ModelWorker
from zeropoint.studio.http.requests import body_of, list_in, streamed, text_in
from zeropoint.studio.http.responses import as_html, as_line
from zeropoint.studio.pages.recipe import recipe_page

MAX_PREDICTED_MODELS = 8  # whose predictions are remembered

FindModel: TypeAlias = Callable[[Request], tuple[LibraryEntry, OpenedModel]]


class RecipeRoutes:
    """Request handlers of the page Recipe. `find` returns the model that an address names."""

    def __init__(self, library: Library, worker: ModelWorker, find: FindModel) -> None:
        self.library = library
        self.worker = worker
        self._find = find
        self._predictions: OrderedDict[str, Predictions] = OrderedDict()

    def table(self) -> list[Route]:
        """Return the routes."""
        api = "/api/models/{model}/recipe"
        return [
            Route("/models/{model}/recipe", self.page),
            Route(api, self.edited, methods=["POST"]),
            Route(api + "/predict", self.predict, methods=["POST"]),
        ]

    def page(self, request: Request) -> Response:
        entry, model = self._find(request)
        return as_html(recipe_page(self.library, entry, model, self._draft(model)))

    async def edited(self, request: Request) -> Response:
        """Answer with the recipe that a start and some changes give."""
        body = await body_of(request)
        start = text_in(body, "start", minimum=1, maximum=MAX_EDIT_CHARACTERS)
        edits = list_in(body, "edits", MAX_EDITS, distinct=False)
        _, model = await run_in_threadpool(self._find, request)

        def answer() -> Any:
            changes = [RecipeEdit.parse(text) for text in edits]
            return self._draft(model).edited(start, changes, self._predictions.get(_key(model)))

        return as_line(await run_in_threadpool(answer))

    async def predict(self, request: Request) -> Response:
        """Stream the progress of predicting the losses of a model, which are then remembered."""
        await body_of(request)  # it names nothing, but has to be a body of this studio's pages
        entry, model = await run_in_threadpool(self._find, request)
        return streamed(self._predicted(entry, model))

    async def _predicted(
        self, entry: LibraryEntry, model: OpenedModel
    ) -> AsyncIterator[dict[str, Any]]:
        key = _key(model)
        if key not in self._predictions:
            async for record in self.worker.run("predict", {"model": str(entry.path)}):
                if "losses" not in record:
                    yield record
                    continue
                self._predictions[key] = Predictions(record["losses"], record["errors"])
                while len(self._predictions) > MAX_PREDICTED_MODELS:
                    self._predictions.popitem(last=False)
        yield {"predicted": True}

    def _draft(self, model: OpenedModel) -> RecipeDraft:
        return RecipeDraft(model.checkpoint, starts_for(self.library, model.checkpoint))


def _key(model: OpenedModel) -> str:
    """Return what names a model and the state of its files."""
    return f"{model.path} {model.stamps}"
