"""The language server's process: LSP 3.18 inline completions, with the engine process behind it."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from lsprotocol import types
from pygls.exceptions import JsonRpcInvalidParams
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from zeropoint._version import __version__
from zeropoint.child import take_stdout
from zeropoint.errors import MeasurementError, UnsupportedModel
from zeropoint.server.http.engine_client import EngineClient
from zeropoint.server.http.errors import ApiError
from zeropoint.server.lsp.completion import (
    CompletionOptions,
    CompletionPlace,
    OpenDocument,
    shown_text,
    work_of,
)


class CompletionServer:
    """The handlers of one editor's connection."""

    def __init__(self, client: EngineClient) -> None:
        self.client = client
        self.options = CompletionOptions()
        self.server = LanguageServer("zeropoint", __version__)
        self._engine: asyncio.Task[None] | None = None
        self._latest: dict[str, asyncio.Task[str]] = {}  # by document
        self._used: list[str] = []  # documents, the most recently edited one last
        handlers: dict[str, Callable[..., object]] = {
            types.INITIALIZE: self.initialize,
            types.INITIALIZED: self.initialized,
            types.TEXT_DOCUMENT_DID_OPEN: self.touch,
            types.TEXT_DOCUMENT_DID_CHANGE: self.touch,
            types.TEXT_DOCUMENT_DID_CLOSE: self.forget,
            types.SHUTDOWN: self.shutdown,
        }
        for feature, handler in handlers.items():
            self.server.feature(feature)(partial(handler))  # it sets attributes of the function
        self.server.feature(types.TEXT_DOCUMENT_INLINE_COMPLETION, types.InlineCompletionOptions())(
            partial(self.complete)
        )

    def run(self) -> None:
        """Answer the editor on stdin and stdout until it ends the connection."""
        logging.getLogger("pygls").setLevel(logging.ERROR)
        self.server.start_io(stdout=take_stdout())

    def initialize(self, params: types.InitializeParams) -> None:
        """Read the client's options. Raises JsonRpcInvalidParams for a wrong one."""
        try:
            self.options = CompletionOptions.read(params.initialization_options)
        except MeasurementError as error:
            raise JsonRpcInvalidParams(str(error)) from None

    async def initialized(self, params: types.InitializedParams) -> None:
        """Start the engine; tell the user when it cannot start."""
        self._engine = asyncio.create_task(self.client.run())
        await self.client.ready.wait()
        if not self.client.facts:
            self._say(types.MessageType.Error, f"zeropoint: {self.client.failure}")
        elif not self.client.facts["infill"]:
            self._say(
                types.MessageType.Warning,
                f"zeropoint: {self.client.facts['name']} has no tokens for filling in the middle,"
                " so completions do not see the text after the cursor",
            )

    def touch(
        self, params: types.DidOpenTextDocumentParams | types.DidChangeTextDocumentParams
    ) -> None:
        """Note which documents were edited last."""
        uri = params.text_document.uri
        self._used = [one for one in self._used if one != uri] + [uri]

    def forget(self, params: types.DidCloseTextDocumentParams) -> None:
        """Forget a document that was closed."""
        self._used = [one for one in self._used if one != params.text_document.uri]

    async def complete(self, params: types.InlineCompletionParams) -> types.InlineCompletionList:
        """Complete at the cursor. A newer request for the same document cancels an older one."""
        uri = params.text_document.uri
        place, range = self._place(params)
        if older := self._latest.get(uri):
            older.cancel()
        task = self._latest[uri] = asyncio.create_task(self._generate(place))
        try:
            text = await task
        except asyncio.CancelledError:
            if asyncio.current_task() and task.cancelled():
                return types.InlineCompletionList(items=[])
            task.cancel()  # the editor cancelled this request
            raise
        finally:
            if self._latest.get(uri) is task:
                del self._latest[uri]
        shown = shown_text(place, text)
        items = [types.InlineCompletionItem(insert_text=shown, range=range)] if shown else []
        return types.InlineCompletionList(items=items)

    async def shutdown(self, params: None) -> None:
        """End the engine."""
        await self.client.stop()
        if self._engine:
            await self._engine

    def _place(self, params: types.InlineCompletionParams) -> tuple[CompletionPlace, types.Range]:
        document = self.server.workspace.get_text_document(params.text_document.uri)
        selected = params.context.selected_completion_info
        range = selected.range if selected else types.Range(params.position, params.position)
        trigger = params.context.trigger_kind
        place = CompletionPlace(
            document=OpenDocument(_name(document), document.source),
            start=document.offset_at_position(range.start),
            end=document.offset_at_position(range.end),
            begun=selected.text if selected else "",
            invoked=trigger == types.InlineCompletionTriggerKind.Invoked,
            others=[
                OpenDocument(_name(other), other.source)
                for uri in reversed(self._used)
                if uri != params.text_document.uri
                for other in [self.server.workspace.get_text_document(uri)]
            ],
        )
        return place, range

    async def _generate(self, place: CompletionPlace) -> str:
        """Return the engine's text; it is empty if there is no engine or the prompt is too long."""
        await self.client.ready.wait()
        if not self.client.facts:
            return ""
        work = work_of(place, self.options, infill=bool(self.client.facts["infill"]))
        text = ""
        try:
            events = self.client.generate([work]).events()
            async for _, event in events:
                if event["type"] == "text":
                    text += event["text"]
        except ApiError as error:
            self.server.window_log_message(
                types.LogMessageParams(types.MessageType.Warning, f"zeropoint: {error}")
            )
        return text

    def _say(self, kind: types.MessageType, message: str) -> None:
        self.server.window_show_message(types.ShowMessageParams(kind, message))


def _name(document: TextDocument) -> str:
    """Return the file name of a document, without its folders."""
    return PurePosixPath(unquote(urlsplit(document.uri).path)).name or "file"


def serve_editor(options: Mapping[str, Any]) -> None:
    """Answer an editor on stdin and stdout until it ends the connection.

    `options` are those of the engine process. Raises UnsupportedModel if the engine did not start.
    """
    client = EngineClient(options, queue_limit=32)
    with suppress(KeyboardInterrupt):
        CompletionServer(client).run()
    if client.failure and not client.facts:
        raise UnsupportedModel(client.failure)
