"""Slabs are read in order, and released memory is used again without a change of bytes."""

from pathlib import Path

import numpy as np

from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.formats import FORMATS
from zeropoint.quantizers.reading import SlabReader
from zeropoint.quantizers.slabs import Slab


def test_a_released_slab_gives_its_memory_to_the_next(tmp_path: Path) -> None:
    data = np.random.default_rng(3).integers(0, 256, (6, 64), np.uint8)
    tensor = NewTensor("t", (6, 16), FORMATS["F32"])
    with create_checkpoint(tmp_path / "m.gguf", [tensor], {}) as writer:
        writer.write("t", data.reshape(-1))
    with open_checkpoint(tmp_path / "m.gguf") as source, SlabReader(source) as reader:
        info = source.tensors["t"]
        first, second = (
            reader.start(info, slab).result() for slab in (Slab(0, 3, 0), Slab(3, 5, 0))
        )
        assert not np.shares_memory(first.data, second.data)
        reader.release(first)
        third = reader.start(info, Slab(5, 6, 0)).result()
        assert np.shares_memory(first.data, third.data)
        assert second.data.tobytes() + third.data.tobytes() == data[3:].tobytes()
