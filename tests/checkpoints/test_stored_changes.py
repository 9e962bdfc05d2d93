"""What GGUF files store otherwise than folders, and the way back."""

import numpy as np
import pytest

from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.stored_changes import change_of, folder_shape, restore

KEYS: dict[str, object] = {
    "ssm.group_count": 2, "ssm.time_step_rank": 8, "ssm.state_size": 3, "ssm.inner_size": 24,
}  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "role", "stored", "shape"),
    [
        ("qwen35", "ssm_conv1d", (36, 4), (36, 1, 4)),
        ("qwen3next", "ssm_conv1d", (36, 4), (36, 1, 4)),
        ("qwen35moe", "ffn_gate_inp_shexp", (64,), (1, 64)),
        ("qwen3next", "ffn_gate_inp_shexp", (64,), (1, 64)),
        ("qwen35", "attn_q", (64, 32), (64, 32)),
    ],
)
def test_a_folder_has_an_axis_of_length_1_where_the_file_has_none(
    architecture: str, role: str, stored: tuple[int, ...], shape: tuple[int, ...]
) -> None:
    assert folder_shape(change_of(FAMILIES[architecture], role), stored) == shape


@pytest.mark.parametrize("role", ["attn_qkv", "attn_gate", "ssm_alpha", "ssm_conv1d", "ssm_dt"])
def test_tiled_heads_return_to_their_heads_of_keys(role: str) -> None:
    """Value head t of key head g is in row 2t + g of the file, and in row 4g + t of the folder."""
    change = change_of(FAMILIES["qwen35"], role)
    size = {"attn_qkv": 3, "attn_gate": 3, "ssm_conv1d": 3}.get(role, 1)
    before = 12 if role in ("attn_qkv", "ssm_conv1d") else 0
    rows = np.arange(before + 8 * size, dtype=np.float32)
    assert change.rows is not None
    order = change.rows(KEYS, rows.size)
    for group in range(2):
        for turn in range(4):
            ours = before + (2 * turn + group) * size
            theirs = before + (4 * group + turn) * size
            np.testing.assert_array_equal(order[ours : ours + size], theirs + np.arange(size))
    np.testing.assert_array_equal(restore(change, rows[order], KEYS), rows)
