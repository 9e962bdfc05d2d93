"""Mamba-2 layers: how files store their tensors, and their keys."""

from collections.abc import Mapping

from zeropoint.checkpoints.families.record import Metadata, StoredChange
from zeropoint.checkpoints.values import UInt32

PARAMETERS = {"A_log": "ssm_a", "D": "ssm_d", "dt_bias": "ssm_dt.bias"}
ROLES = {
    "in_proj": "ssm_in",
    "conv1d": "ssm_conv1d",
    "norm": "ssm_norm",
    "out_proj": "ssm_out",
}


def _count(key: str, keys: Mapping[str, object]) -> int:
    return int(keys[key])  # type: ignore[call-overload, no-any-return]


def _heads(keys: Mapping[str, object]) -> int:
    return _count("ssm.time_step_rank", keys)


def _groups(keys: Mapping[str, object]) -> int:
    return _count("ssm.group_count", keys)


CHANGES = {
    "ssm_a": StoredChange(rows_of_vector=_heads, negative_exponential=True),
    "ssm_d": StoredChange(rows_of_vector=_heads),
    "ssm_norm": StoredChange(rows_of_vector=_groups),
    "ssm_conv1d": StoredChange(unit_axis=1),
}


def sizes(*, heads: int, size: int, groups: int, state: int, kernel: int) -> Metadata:
    """Return the keys of the layers' sizes: `size` elements of a head, `state` of its state."""
    return {
        "ssm.conv_kernel": UInt32(kernel),
        "ssm.state_size": UInt32(state),
        "ssm.group_count": UInt32(groups),
        "ssm.time_step_rank": UInt32(heads),
        "ssm.inner_size": UInt32(heads * size),
    }
