"""Whatever stands under a key of a header: it is shown, planned with or refused in one sentence."""

from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import StringArray, open_checkpoint
from zeropoint.checkpoints import values as v
from zeropoint.errors import ZeropointError
from zeropoint.plans import choose_formats
from zeropoint.plans.formats import inventory
from zeropoint.plans.memory.cache_shape import read_shape
from zeropoint.plans.memory.memory import PlanWorkload, memory_use

WRONG = (
    *("abc", "", True, v.UInt32(0), v.Int32(-1), v.UInt64(2**63), v.Float64(1e300), v.Float32(0.5)),
    *(v.Float32(float("nan")), v.Float32(float("inf")), np.array([1, 2, 3], np.int32)),
    *(np.array([], np.int32), np.array([0.5], np.float32), np.array([True])),
    *(StringArray.of(["a", "b"]), StringArray.of([]), [np.array([1], np.int32)], None),
)
OPTIONAL = """zeropoint.recipe quantize.imatrix.file general.license llama.expert_count
    llama.attention.key_length llama.attention.key_length_mla llama.attention.shared_kv_layers
    llama.nextn_predict_layers llama.attention.indexer.key_length""".split()


@pytest.mark.parametrize("experts", [0, 4])
def test_no_value_of_any_key_is_a_bug(experts: int, tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.gguf", experts=experts)
    with open_checkpoint(path) as read:
        facts = dict(read.metadata)
        for key in dict.fromkeys([*facts, *OPTIONAL]):
            for value in WRONG:
                changed = {**facts, key: value}
                read.metadata = {k: given for k, given in changed.items() if given is not None}
                inventory.outline(read.metadata)
                inventory.origin(read.metadata)
                inventory.imatrix(read.metadata)
                inventory.recipe_in(read)
                try:
                    memory_use(read_shape(read), read.tensors.values(), PlanWorkload(context=512))
                except ZeropointError as error:
                    assert str(error).isprintable()
                try:
                    assert len(choose_formats(read, "Q4_K_M")) == len(read.tensors)
                except ZeropointError as error:
                    assert str(error).isprintable()
