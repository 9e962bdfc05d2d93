"""Model shapes as checkpoints without weights."""

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

from zeropoint.checkpoints import NewTensor
from zeropoint.formats import find_format

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Outline:
    """A checkpoint as a plan sees it."""

    metadata: Mapping[str, object]
    tensors: Mapping[str, NewTensor]

    def all_in(self, name: str) -> "Outline":
        """The same tensors, all of one source format."""
        format = find_format(name)
        return Outline(
            self.metadata, {n: replace(t, format=format) for n, t in self.tensors.items()}
        )


@pytest.fixture(scope="session")
def shapes() -> ModuleType:
    """`shapes.py`, which the golden answers were made with."""
    sys.path.insert(0, str(HERE))
    try:
        return importlib.import_module("shapes")
    finally:
        sys.path.remove(str(HERE))


@pytest.fixture(scope="session")
def outline(shapes: ModuleType) -> Callable[[str], Outline]:
    """Return the shape of this title as a checkpoint."""

    def build(title: str) -> Outline:
        model = shapes.SHAPES[title]()
        return Outline(
            model.metadata(),
            {
                name: NewTensor(name, shape, find_format(shapes.source_format(model, name, shape)))
                for name, shape in model.tensors
            },
        )

    return build
