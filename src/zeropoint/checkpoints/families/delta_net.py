"""Gated delta nets: settings of a config.json and GGUF's keys, and the order of their tensors.

transformers keeps the heads of values that share a head of keys side by side. GGUF files of Qwen
3.5 hold them tiled: the first of each head of keys, then the second of each, and so on.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.families.record import Json, Metadata, Order, StoredChange
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32

LINEAR, FULL = "linear_attention", "full_attention"
ROLES = {
    "linear_attn.conv1d": "ssm_conv1d",
    "linear_attn.norm": "ssm_norm",
    "linear_attn.out_proj": "ssm_out",
}
PARAMETERS = {"linear_attn.A_log": "ssm_a", "linear_attn.dt_bias": "ssm_dt.bias"}


# The order of rows and columns.


def tiled_heads(first: int, keys: Mapping[str, object], rows: int) -> NDArray[np.int64]:
    """Return the folder's row of each row of a file whose heads of values are tiled.

    `first` is how many rows of queries and keys lie before them, in heads per head of keys.
    """
    groups, heads = _count(keys, "ssm.group_count"), _count(keys, "ssm.time_step_rank")
    before = first * groups * _count(keys, "ssm.state_size")
    places = np.arange(before, rows).reshape(groups, heads // groups, -1)
    return np.concatenate([np.arange(before), places.transpose(1, 0, 2).reshape(-1)])


def joined_rows(part: str, keys: Mapping[str, object], rows: int) -> NDArray[np.int64]:
    """Return the rows of `in_proj_qkvz` that are queries, keys and values, or the gate.

    The folder has for each head of keys its queries, keys, values and gates.
    """
    groups, size = _count(keys, "ssm.group_count"), _count(keys, "ssm.state_size")
    values = _count(keys, "ssm.time_step_rank") // groups * size
    places = np.arange(groups * 2 * (size + values)).reshape(groups, -1)
    parts = np.split(places, [size, 2 * size, 2 * size + values], axis=1)
    chosen = parts[3:] if part == "gate" else parts[:3]
    return np.concatenate([part.reshape(-1) for part in chosen])


def _count(keys: Mapping[str, object], key: str) -> int:
    return int(keys[key])  # type: ignore[call-overload, no-any-return]


_TILED: Order = partial(tiled_heads, 0)
TILED_CHANGES = {
    "attn_qkv": StoredChange(rows=partial(tiled_heads, 2)),
    "attn_gate": StoredChange(rows=_TILED),
    "ssm_alpha": StoredChange(rows=_TILED),
    "ssm_beta": StoredChange(rows=_TILED),
    "ssm_a": StoredChange(rows=_TILED, negative_exponential=True),
    "ssm_dt": StoredChange(rows=_TILED),
    "ssm_conv1d": StoredChange(rows=partial(tiled_heads, 2), unit_axis=1),
    "ssm_out": StoredChange(columns=_TILED),
}
JOINED_CHANGES = {
    "attn_qkv": StoredChange(rows=partial(joined_rows, "qkv")),
    "attn_gate": StoredChange(rows=partial(joined_rows, "gate")),
    "ssm_a": StoredChange(negative_exponential=True),
    "ssm_conv1d": StoredChange(unit_axis=1),
}


# Settings.


def read_delta_net(settings: Settings) -> Metadata:
    """Return the keys of the delta nets, and which layers have one."""
    size, heads = (
        settings.integer("linear_key_head_dim", minimum=1),
        settings.integer("linear_num_value_heads", minimum=1),
    )
    groups = settings.integer("linear_num_key_heads", minimum=1)
    values = settings.integer("linear_value_head_dim")
    if values != size:
        raise settings.wrong(
            "linear_value_head_dim",
            f"is {values}, but linear_key_head_dim is {size}; GGUF has one size of a head",
        )
    if heads % groups:
        raise settings.wrong(
            "linear_num_value_heads",
            f"is {heads}; it must be a multiple of linear_num_key_heads, {groups}",
        )
    return {
        "ssm.conv_kernel": UInt32(settings.integer("linear_conv_kernel_dim", minimum=2)),
        "ssm.state_size": UInt32(size),
        "ssm.group_count": UInt32(groups),
        "ssm.time_step_rank": UInt32(heads),
        "ssm.inner_size": UInt32(size * heads),
        "full_attention_interval": UInt32(_interval(settings)),
        "attention.recurrent_layers": np.array(_recurrent(settings), np.bool_),
    }


def _interval(settings: Settings) -> int:
    return settings.integer("full_attention_interval", 4, minimum=1)


def _recurrent(settings: Settings) -> list[bool]:
    count, given = settings.integer("num_hidden_layers"), settings.get("layer_types")
    if given is None:
        return [(index + 1) % _interval(settings) != 0 for index in range(count)]
    if not isinstance(given, list) or len(given) != count:
        raise settings.wrong("layer_types", f"expected a list of {count} names")
    if not set(given) <= {LINEAR, FULL}:
        raise settings.wrong("layer_types", f"expected {LINEAR} and {FULL} only")
    return [kind == LINEAR for kind in given]


def write_delta_net(keys: GgufKeys) -> Json:
    """Return the entries of config.json for the delta nets."""
    size, heads = keys.integer("ssm.state_size"), keys.integer("ssm.time_step_rank")
    if keys.integer("ssm.inner_size") != size * heads:
        raise keys.unsupported("ssm.inner_size")
    blocks, drafts = keys.integer("block_count"), keys.integer("nextn_predict_layers", 0)
    every = keys.integer("full_attention_interval", 4)
    flags = keys.flags("attention.recurrent_layers", blocks, every)[: blocks - drafts]
    return {
        "linear_conv_kernel_dim": keys.integer("ssm.conv_kernel"),
        "linear_key_head_dim": size,
        "linear_value_head_dim": size,
        "linear_num_key_heads": keys.integer("ssm.group_count"),
        "linear_num_value_heads": heads,
        "layer_types": [LINEAR if flag else FULL for flag in flags],
    }
