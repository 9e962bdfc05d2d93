"""Lets the tests of this folder import what they share."""

from typing import Any

import pytest


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The files of tiny models that tests change: see `changed_files.Bases`."""
    from support.changed_files import make_bases  # it imports transformers, which few tests need

    return make_bases(tmp_path_factory.mktemp("bases"))
