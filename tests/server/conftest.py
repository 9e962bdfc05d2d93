"""A server in front of a scripted engine, which the tests of this folder share."""

from collections.abc import Iterator

import pytest

from support.api_server import ApiServer, api_server


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    with api_server() as running:
        yield running
