"""The language server: what the model is shown, what of its text is used, and a session."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.api_server import ENGINE, SECONDS
from support.tiny_models import write_model
from zeropoint.errors import MeasurementError
from zeropoint.server.lsp.completion import (
    CompletionOptions,
    CompletionPlace,
    OpenDocument,
    last_part,
    shown_text,
    work_of,
)

types = pytest.importorskip("lsprotocol.types")
from pygls.lsp.client import LanguageClient  # noqa: E402

OPTIONS = CompletionOptions()
URI = "file:///code/a%20b.py"


def place(text: str, **more: Any) -> CompletionPlace:
    """Return the place of the mark | in a text."""
    at = text.index("|")
    document = OpenDocument("a b.py", text.replace("|", ""))
    return CompletionPlace(document=document, start=at, end=at, **more)


@pytest.mark.parametrize(
    ("text", "invoked", "stops"),
    [
        ("x = |\ny = 2\n", False, ["\n"]),
        ("def f():\n    |\n", False, ["\n\n"]),
        ("def f():\n    |\n", True, []),
        ("x = |)\n", True, ["\n"]),
    ],
)
def test_a_completion_ends_with_its_line_or_block(
    text: str, invoked: bool, stops: list[str]
) -> None:
    work = work_of(place(text, invoked=invoked), OPTIONS, infill=True)
    assert work["stop"] == stops
    assert work["limit"] == (OPTIONS.invoked_tokens if invoked else OPTIONS.automatic_tokens)
    assert work["prompt"]["prefix"] + work["prompt"]["suffix"] == text.replace("|", "")


def test_the_model_sees_both_sides_and_the_other_documents() -> None:
    others = [OpenDocument(f"{at}.py", f"text {at}\n") for at in range(5)]
    wanted = place("a = 1\nb = |\nc = 3", others=others, begun="valu")
    prompt = work_of(wanted, OPTIONS, infill=True)["prompt"]
    assert prompt == {
        "kind": "infill", "prefix": "a = 1\nb = valu", "suffix": "\nc = 3", "filename": "a b.py",
        "extra": [{"filename": f"{at}.py", "text": f"text {at}\n"} for at in range(2)],
    }  # fmt: skip
    assert work_of(wanted, OPTIONS, infill=False)["prompt"] == {
        "kind": "text", "text": "a = 1\nb = valu",
    }  # fmt: skip


def test_a_long_text_is_cut_at_lines_and_rarely_moves() -> None:
    lines = [f"line number {at}\n" for at in range(2000)]
    starts = []
    for count in range(1, len(lines), 7):
        text = "".join(lines[:count])
        part = last_part(text, 1000)
        assert text.endswith(part) and len(part) <= 1000
        assert len(part) >= min(len(text), 500 - len(lines[count]))
        assert part.startswith("line number")
        starts.append(len(text) - len(part))
    assert starts == sorted(starts) and len(set(starts)) <= len(text) / 500 + 1
    assert last_part("x" * 5000, 100) and len(last_part("x" * 5000, 100)) <= 100


@pytest.mark.parametrize(
    ("text", "generated", "shown"),
    [
        ("print(|)", "x)", "x"),
        ("x = |\n", "1  \n", "1"),
        ("a = [|\n]\n", "1, 2\n]", "1, 2"),
        ("def f():\n    |\n    return total\n", "total = 1\n    return total", "total = 1"),
        ("x = |", "   ", ""),
        ("f(|b)", "a, b)", "a,"),
        ("x|", " + y", " + y"),
        ("f(\n    |\n)\n", "g(1)", "g(1)"),
    ],
)
def test_what_follows_the_cursor_anyway_is_not_inserted(
    text: str, generated: str, shown: str
) -> None:
    assert shown_text(place(text), generated) == shown


@pytest.mark.parametrize(
    "values", [{"tokens": 1}, {"automatic_tokens": "4"}, {"prefix_characters": -1}, [1]]
)
def test_wrong_options_are_refused(values: object) -> None:
    with pytest.raises(MeasurementError):
        CompletionOptions.read(values)


class Editor:
    """An editor with a connection to the server."""

    def __init__(self) -> None:
        self.client = LanguageClient("editor", "1")
        self.shown: list[str] = []
        self.client.feature(types.WINDOW_SHOW_MESSAGE)(
            lambda params: self.shown.append(params.message)
        )
        self.client.feature(types.WINDOW_LOG_MESSAGE)(lambda _: None)

    async def open(self, text: str, uri: str = URI) -> None:
        document = types.TextDocumentItem(uri=uri, language_id="python", version=1, text=text)
        self.client.text_document_did_open(types.DidOpenTextDocumentParams(document))

    async def complete(self, line: int, character: int, selected: Any = None) -> list[Any]:
        answer = await self.client.text_document_inline_completion_async(
            types.InlineCompletionParams(
                context=types.InlineCompletionContext(
                    trigger_kind=types.InlineCompletionTriggerKind.Automatic,
                    selected_completion_info=selected,
                ),
                text_document=types.TextDocumentIdentifier(uri=URI),
                position=types.Position(line=line, character=character),
            )
        )
        return list(answer.items)


def session(
    command: list[str], act: Callable[[Editor, Any], Awaitable[None]], options: object = None
) -> int:
    """Start a server, let `act` use it, and end it as editors do. Return its exit status."""

    async def run() -> int:
        editor = Editor()
        await editor.client.start_io(*command)
        initialized = await editor.client.initialize_async(
            types.InitializeParams(
                capabilities=types.ClientCapabilities(), initialization_options=options
            )
        )
        editor.client.initialized(types.InitializedParams())
        await act(editor, initialized)
        await editor.client.shutdown_async(None)
        editor.client.exit(None)
        server = editor.client._server
        assert server is not None
        return await asyncio.wait_for(server.wait(), SECONDS)

    with ThreadPoolExecutor(1) as threads:  # this one may have a loop already: a browser's
        return threads.submit(asyncio.run, asyncio.wait_for(run(), SECONDS)).result()


def scripted(**options: Any) -> list[str]:
    """Return the command of a server in front of the scripted engine."""
    code = (
        "from zeropoint.server.http.engine_client import EngineClient;"
        "from zeropoint.server.lsp.process import CompletionServer;"
        f"CompletionServer(EngineClient({options!r}, queue_limit=4, command={ENGINE!r})).run()"
    )
    return [sys.executable, "-c", code]


def test_an_editor_gets_what_the_model_writes_at_the_cursor() -> None:
    async def act(editor: Editor, initialized: Any) -> None:
        assert initialized.capabilities.inline_completion_provider
        await editor.open('{"pieces": ["total ", "= 1"]}\nrest\n')
        (item,) = await editor.complete(0, 29)
        assert item.insert_text == "total = 1"
        assert item.range == types.Range(types.Position(0, 29), types.Position(0, 29))
        editor.client.text_document_did_change(
            types.DidChangeTextDocumentParams(
                text_document=types.VersionedTextDocumentIdentifier(uri=URI, version=2),
                content_changes=[
                    types.TextDocumentContentChangePartial(
                        range=types.Range(types.Position(0, 13), types.Position(0, 18)),
                        text="\N{GRINNING FACE} é",
                    )
                ],
            )
        )
        (item,) = await editor.complete(0, 28)
        assert item.insert_text == "\N{GRINNING FACE} é = 1", "positions count UTF-16 units"

    assert session(scripted(), act) == 0


def test_a_newer_request_ends_an_older_one() -> None:
    async def act(editor: Editor, _: Any) -> None:
        await editor.open('{"pieces": ["a", "b", "c"], "wait": 5}\n{"pieces": ["x"]}\n')
        slow = asyncio.create_task(editor.complete(0, 38))
        await asyncio.sleep(0.5)
        with_begin = types.SelectedCompletionInfo(
            range=types.Range(types.Position(1, 0), types.Position(1, 17)), text='{"pieces": ["y"]}'
        )
        await editor.complete(1, 17, with_begin)
        assert await asyncio.wait_for(slow, 2) == []

    assert session(scripted(), act) == 0


def test_an_engine_that_cannot_start_is_shown_to_the_user() -> None:
    async def act(editor: Editor, _: Any) -> None:
        await editor.open("x = ")
        assert await editor.complete(0, 4) == []
        assert editor.shown == ["zeropoint: no such model"]

    assert session(scripted(failed="no such model"), act) == 0


def test_the_command_completes_with_a_real_model(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    words = ["serve", str(path), "--lsp", "--ctx", "256", "--threads", "1"]

    async def act(editor: Editor, _: Any) -> None:
        await editor.open("the cat and the ")
        for _ in range(2):
            items = await editor.complete(0, 16)
            assert len(items) <= 1 and all(item.insert_text.strip() for item in items)
        assert editor.shown and "filling in the middle" in editor.shown[0]

    assert session([sys.executable, "-m", "zeropoint", *words], act) == 0
