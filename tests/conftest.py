"""No test writes into the cache or the settings of the person who runs it, or is deaf to Ctrl-C."""

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

collect_ignore_glob = ["golden/*", "support/*"]  # scripts and helpers hold no tests

# A shell that starts the suite in the background has it and all its children ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Exclude imported objects from garbage collection; it took a fifth of many tests' time."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that uses the browser, directly or through another fixture."""
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


def take_away(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put a folder in the place of a person's cache and settings."""
    for name in ("cache", "config"):
        patch.setenv(f"XDG_{name.upper()}_HOME", str(folder / name))


@pytest.fixture(autouse=True, scope="session")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Timings noted by `bench` and the measured machine would move a person's `plan`."""
    with pytest.MonkeyPatch.context() as patch:
        take_away(patch, tmp_path_factory.mktemp("home"))
        yield


@pytest.fixture(scope="module")
def clean_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing measured or set before this module, and no network."""
    with pytest.MonkeyPatch.context() as patch:
        take_away(patch, tmp_path_factory.mktemp("clean"))
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield


@pytest.fixture
def clean(clean_machine: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for each test, which also begins in a folder of its own."""
    take_away(monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
