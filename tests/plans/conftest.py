"""Model shapes as checkpoints without weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import pytest

from support.model_shapes import SHAPES, source_format
from zeropoint.checkpoints import NewTensor
from zeropoint.formats import find_format


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
def outline() -> Callable[[str], Outline]:
    """Return the shape of this title as a checkpoint."""

    def build(title: str) -> Outline:
        model = SHAPES[title]()
        return Outline(
            model.metadata(),
            {
                name: NewTensor(name, shape, find_format(source_format(model, name, shape)))
                for name, shape in model.tensors
            },
        )

    return build
