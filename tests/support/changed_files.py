"""Files of tiny models with other keys and tensors, and what their logits are compared with."""

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from support.families import (
    FAMILIES,
    VOCABULARY,
    Family,
    random_model,
    transformers_logits,
    write_gguf,
)
from zeropoint.checkpoints import Checkpoint, NewTensor, create_checkpoint, open_checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.models import load_model
from zeropoint.models.loading import Engine

TOKENS = np.random.default_rng(1).integers(0, VOCABULARY, (1, 40))
ENGINES: tuple[Engine, ...] = ("compiled", "transformers")
# Times the distance of transformers' float32 from its float64. Frequencies are rounded in another
# order than transformers', by up to three units in the last place of angles up to 40.
FACTOR = 8


class Base:
    """The file of a tiny model, and its logits."""

    def __init__(self, family: Family, path: Path, context: Mapping[str, object]) -> None:
        self.family = family
        self.path = path
        self.name = family.architecture
        self.context = {f"{self.name}.{key}": value for key, value in context.items()}
        self.checkpoint = open_checkpoint(write_gguf(path, family, random_model(family)))
        self.logits = self.run(self.write())

    def write(
        self,
        keys: Mapping[str, object] | None = None,
        tensors: Mapping[str, np.ndarray] | None = None,
        without: tuple[str, ...] = (),
    ) -> Checkpoint:
        """Write the file with other keys and tensors."""
        more = dict(tensors or {})
        kept = [
            info
            for name, info in self.checkpoint.tensors.items()
            if name not in more and name not in without
        ]
        new = [NewTensor(name, value.shape, FORMATS["F32"]) for name, value in more.items()]
        facts = dict(self.checkpoint.metadata) | self.context | dict(keys or {})
        path = self.path.with_suffix(".changed.gguf")
        path.unlink(missing_ok=True)
        with create_checkpoint(path, [*kept, *new], facts) as writer:
            for info in kept:
                writer.write(info.name, self.checkpoint.read(info.name).data)
            for name, value in more.items():
                writer.write(name, value.astype("<f4").reshape(-1, 1).view(np.uint8))
        return open_checkpoint(path)

    def run(self, checkpoint: Checkpoint, engine: Engine = "compiled") -> np.ndarray:
        return load_model(checkpoint, threads=1, engine=engine).logits(TOKENS)


Bases = Callable[..., Base]


def make_bases(folder: Path) -> Bases:
    """Return what makes the base of a family, by its name in `families`, once for each context."""

    def make(name: str, context: tuple[tuple[str, object], ...] = ()) -> Base:
        return Base(FAMILIES[name], folder / f"{len(list(folder.iterdir()))}.gguf", dict(context))

    return cache(make)


def assert_equal_to(
    base: Base,
    checkpoint: Checkpoint,
    model: Any,
    engines: tuple[Engine, ...] = ENGINES,
    *,
    moved: bool = True,
) -> None:
    """The logits of these engines are transformers', and not what they were."""
    single = transformers_logits(model, TOKENS, torch.float32)
    double = transformers_logits(model, TOKENS, torch.float64)
    allowed = FACTOR * np.abs(single - double).max()
    for engine in ENGINES:
        if engine not in engines:
            with pytest.raises(UnsupportedModel, match="transformers'"):
                base.run(checkpoint, engine)
            continue
        logits = base.run(checkpoint, engine)
        assert np.abs(logits - double).max() <= allowed, engine
        assert not moved or np.abs(logits - base.logits).max() > 20 * allowed, engine
