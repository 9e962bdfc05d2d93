"""A pytest plugin that loads the compiled extension from the file ZEROPOINT_NATIVE names.

`make test-sanitize` builds the extension a second time, with sanitizers, outside the package:

    ZEROPOINT_NATIVE=build/…/_native.so python -m pytest -p support.sanitized_native
"""

import os
import sys
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec

NAME = "zeropoint.kernels._native"


def load(path: str) -> None:
    """Load the extension before anything imports the one of the package."""
    loader = ExtensionFileLoader(NAME, path)
    module = module_from_spec(ModuleSpec(NAME, loader, origin=path))
    loader.exec_module(module)
    sys.modules[NAME] = module


load(os.path.abspath(os.environ["ZEROPOINT_NATIVE"]))


def pytest_report_header() -> str:
    """Return the file that was loaded, for the head of the report."""
    return f"native extension: {sys.modules[NAME].__file__ or os.environ['ZEROPOINT_NATIVE']}"
