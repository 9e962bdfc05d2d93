"""Whatever stands under a key of a header: a model that works, or one sentence."""

from pathlib import Path

import numpy as np
import pytest

from tinymodels import write_model
from zeropoint.checkpoints import StringArray, create_checkpoint, open_checkpoint
from zeropoint.checkpoints import values as v
from zeropoint.errors import ZeropointError
from zeropoint.models.architecture import read_architecture
from zeropoint.models.chat import encode_chat
from zeropoint.models.tokenizer import read_tokenizer
from zeropoint.plans import choose_formats, inventory

WRONG = (
    *("abc", "", True, v.UInt32(0), v.Int32(-1), v.UInt64(2**63), v.Float64(1e300), v.Float32(0.5)),
    *(v.Float32(float("nan")), v.Float32(float("inf")), np.array([1, 2, 3], np.int32)),
    *(np.array([], np.int32), np.array([0.5], np.float32), np.array([True])),
    *(StringArray.of(["a", "b"]), StringArray.of([]), [np.array([1], np.int32)], None),
)
OPTIONAL = """tokenizer.chat_template tokenizer.ggml.merges tokenizer.ggml.eot_token_id general.type
    tokenizer.ggml.add_space_prefix NAME.attention.sliding_window NAME.attention.scale
    NAME.attention.sliding_window_pattern NAME.rope.scaling.type NAME.rope.scaling.factor
    NAME.rope.scaling.attn_factor NAME.rope.scaling.original_context_length NAME.vocab_size
    NAME.expert_count NAME.expert_used_count NAME.expert_weights_scale NAME.hidden_activation
    NAME.final_logit_softcapping NAME.attn_logit_softcapping NAME.rope.freq_base_swa
    zeropoint.recipe quantize.imatrix.file""".split()


def use(path: Path) -> None:
    """Read all that a header says, as `inspect`, `quantize` and `run` do."""
    with open_checkpoint(path) as read:
        inventory.outline(read.metadata)
        inventory.origin(read.metadata)
        inventory.recipe_in(read)
        inventory.imatrix(read.metadata)
        choose_formats(read, "Q4_K_M")
        for layer in read_architecture(read).layers:
            assert layer.heads > 0
        tokenizer = read_tokenizer(read)
        ids = tokenizer.encode("the cat", ends=True)
        tokenizer.decode(ids, special=True)
        encode_chat(read, tokenizer, [{"role": "user", "content": "a"}])


@pytest.mark.parametrize("model", ["llama", "gemma3", "experts"])
def test_no_value_of_any_key_is_a_bug(model: str, tmp_path: Path) -> None:
    experts = 4 if model == "experts" else 0
    path = write_model(tmp_path / "m.gguf", model if not experts else "llama", experts=experts)
    with open_checkpoint(path) as source:
        tensors, facts = list(source.tensors.values()), dict(source.metadata)
        name = facts["general.architecture"]
        blocks = {info.name: source.read(info.name) for info in tensors}
    keys = [*facts, *(key.replace("NAME", str(name)) for key in OPTIONAL)]
    random = np.random.default_rng(len(model))
    refused = 0
    for key in dict.fromkeys(keys):
        for index in random.choice(len(WRONG), 4, replace=False):
            changed = {**facts, key: WRONG[index]}
            given = {other: value for other, value in changed.items() if value is not None}
            with create_checkpoint(path, tensors, given) as writer:
                for info in tensors:
                    writer.write(info.name, blocks[info.name])
            try:
                use(path)
            except ZeropointError as error:
                assert "\n" not in str(error)
                assert len(str(error)) < 400
                refused += 1
    assert refused > len(keys)
