"""A browser for the pages: Debian's Chromium, driven by Playwright; one for all tests."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.required import chromium, missing
from support.studio_pages import Example, fits, make_example
from support.studio_server import Studio, running

# One process for all pages, where each would start its own.
FLAGS = ["--no-sandbox", "--renderer-process-limit=1", "--disable-site-isolation-trials"]
SIZE = {"width": 1200, "height": 900}
USUAL = {"viewport": SIZE, "reduced_motion": "reduce"}


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright import sync_api
    except ImportError:
        missing("Playwright is not installed: make environment")
    program = chromium()
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


class Tabs:
    """Tabs that stay open for the tests of a module: a new one costs half a second."""

    def __init__(self, browser: Any) -> None:
        self._browser = browser
        self._kept: dict[object, Any] = {}

    def take(self, key: object, *, offline: bool = False) -> tuple[Any, bool]:
        """Return the tab of this key, empty and as new, and whether it is new."""
        new = key not in self._kept
        if new:
            context = self._browser.new_context(offline=offline, **USUAL)
            self._kept[key] = context.new_page()
            self._kept[key].set_default_timeout(10_000)
        page = self._kept[key]
        page.goto("about:blank")
        page.mouse.move(0, 0)
        page.set_viewport_size(SIZE)
        page.emulate_media(media="null", color_scheme="light", reduced_motion="reduce")
        return page, new

    def close(self) -> None:
        for page in self._kept.values():
            page.context.close()


@pytest.fixture(scope="module")
def tabs(browser: Any) -> Iterator[Tabs]:
    opened = Tabs(browser)
    yield opened
    opened.close()


class Watch:
    """Forbidden requests of pages, and the errors that pages report."""

    def __init__(self) -> None:
        self.bad: list[str] = []
        self._listening: list[tuple[Any, str, Any]] = []

    def over(self, page: Any, allowed: tuple[str, ...]) -> None:
        """Watch a page that may ask for addresses that begin with these."""
        acts = {
            "request": lambda r: None if r.url.startswith(allowed) else self.bad.append(r.url),
            "console": lambda m: self.bad.append(m.text) if m.type == "error" else None,
            "pageerror": lambda error: self.bad.append(str(error)),
        }
        for name, act in acts.items():
            page.on(name, act)
            self._listening.append((page, name, act))

    def end(self) -> None:
        """Leave the pages; nothing bad has been seen."""
        for page, name, act in self._listening:
            page.remove_listener(name, act)
        for page in {page for page, _, _ in self._listening if not page.is_closed()}:
            page.goto("about:blank")
        assert self.bad == []


@pytest.fixture
def watch() -> Iterator[Watch]:
    begun = Watch()
    yield begun
    begun.end()


@pytest.fixture
def new_page(browser: Any, tabs: Tabs, watch: Watch) -> Iterator[Any]:
    """Opens pages that may ask nothing of any server, and fails where they err.

    A test's first page without options is in a tab that was there.
    """
    contexts: list[Any] = []
    taken: list[Any] = []

    def open_page(path: Path | None = None, fragment: str = "", **options: Any) -> Any:
        if options or taken:
            contexts.append(browser.new_context(offline=True, **USUAL | options))
            page = contexts[-1].new_page()
            page.set_default_timeout(10_000)
        else:
            page, _ = tabs.take("file", offline=True)
            taken.append(page)
        watch.over(page, ("file:", "data:", "blob:", "about:"))
        if path is not None:
            page.goto(f"file://{path}{fragment}")
            if options.get("java_script_enabled", True):
                page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """A tiny model, measured, quantized and laddered, and the pages made of that."""
    return make_example(tmp_path_factory.mktemp("studio"), "llama")


@pytest.fixture(scope="session")
def other(tmp_path_factory: pytest.TempPathFactory) -> Example:
    """Another model's; its chains, of which such models do none rightly, have another length."""
    return make_example(tmp_path_factory.mktemp("other"), "gemma3", columns=320, steps=4)


@pytest.fixture(scope="module")
def studio(example: Example) -> Iterator[Studio]:
    """A server of the example's folder."""
    with running(example.model.parent) as found:
        yield found


@pytest.fixture
def open_studio(tabs: Tabs, watch: Watch) -> Any:
    """Opens pages as the browser does that has followed the link; fails where they err.

    All pages of a studio are in one tab, one after the other.
    """

    def follow(studio: Studio) -> Any:
        page, new = tabs.take(studio.keys)
        own = f"http://{studio.host}/"
        watch.over(page, (own, "data:", "about:"))
        if new:
            page.goto(f"{own}?token={studio.keys.token}")
            assert page.url == own, "the token left the address"

        def go(path: str, width: int = SIZE["width"]) -> Any:
            page.set_viewport_size(SIZE | {"width": width})
            page.goto(own + path.lstrip("/"))
            page.wait_for_selector("html[data-ready]", state="attached")
            assert fits(page, width)
            return page

        return go

    return follow


@pytest.fixture
def visit(studio: Studio, open_studio: Any) -> Any:
    """Opens pages of the example's studio."""
    return open_studio(studio)
