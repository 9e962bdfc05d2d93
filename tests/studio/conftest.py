"""A browser for the pages: Debian's Chromium, driven by Playwright; one for all tests."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from studio_pages import Example, make_example
from studio_server import Studio, running


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def new_page(browser: Any) -> Iterator[Any]:
    """Opens pages that may ask nothing of any server, and fails where they err."""
    contexts, bad = [], []

    def open_page(path: Path | None = None, fragment: str = "", **options: Any) -> Any:
        options = {"viewport": {"width": 1200, "height": 900}, "reduced_motion": "reduce"} | options
        context = browser.new_context(offline=True, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        local = ("file:", "data:", "blob:", "about:")
        page.on("request", lambda r: None if r.url.startswith(local) else bad.append(r.url))
        page.on("console", lambda m: bad.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: bad.append(str(error)))
        if path is not None:
            page.goto(f"file://{path}{fragment}")
            if options.get("java_script_enabled", True):
                page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert bad == []


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
def open_studio(browser: Any) -> Iterator[Any]:
    """Opens pages as the browser does that has followed the link; fails where they err."""
    contexts: list[Any] = []
    bad: list[str] = []

    def follow(studio: Studio) -> Any:
        size = {"width": 1200, "height": 900}
        context = browser.new_context(viewport=size, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        own = f"http://{studio.host}/"
        page.on(
            "request", lambda r: None if r.url.startswith((own, "data:")) else bad.append(r.url)
        )
        page.on("console", lambda m: bad.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: bad.append(str(error)))
        page.goto(f"{own}?token={studio.keys.token}")
        assert page.url == own, "the token left the address"

        def go(path: str, width: int = 1200) -> Any:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(own + path.lstrip("/"))
            page.wait_for_selector("html[data-ready]", state="attached")
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            return page

        return go

    yield follow
    for context in contexts:
        context.close()
    assert bad == []


@pytest.fixture
def visit(studio: Studio, open_studio: Any) -> Any:
    """Opens pages of the example's studio."""
    return open_studio(studio)
