"""No test writes into the cache or the settings of the person who runs it, or is deaf to Ctrl-C."""

import signal
from collections.abc import Iterator

import pytest

# A shell that starts the suite in the background has it and all its children ignore SIGINT.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def nobodys_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Timings noted by `bench` and the measured machine would move a person's `plan`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        yield
