"""Sliding windows: the settings of a config.json that several types share, and GGUF's keys."""

import numpy as np

from zeropoint.checkpoints.families.record import Json, Metadata, ModelFamily, WindowRule
from zeropoint.checkpoints.settings.gguf_keys import GgufKeys
from zeropoint.checkpoints.settings.settings import Settings
from zeropoint.checkpoints.values import UInt32
from zeropoint.errors import printable

WINDOWED, FULL = "sliding_attention", "full_attention"
MAX_WINDOW_POSITIONS = 2**31 - 1


def layer_count(settings: Settings) -> int:
    """Return the number of layers."""
    return settings.integer("num_hidden_layers")


def layer_type(*, windowed: bool) -> str:
    """Return transformers' name of a kind of layer."""
    return WINDOWED if windowed else FULL


def periodic_flags(count: int, period: int) -> list[bool]:
    """Return one flag for each of `count` layers: each `period`-th is false; 0: none is."""
    return [period == 0 or (index + 1) % period != 0 for index in range(count)]


def window_rule(family: ModelFamily) -> WindowRule:
    """Return the rule of a family that always has one."""
    assert family.windows is not None
    return family.windows


# From config.json to GGUF.


def read_layer_types(settings: Settings, default: list[bool]) -> list[bool]:
    """Return for each layer whether it has a window, from `layer_types`."""
    given = settings.get("layer_types")
    if given is None:
        return default
    if not isinstance(given, list) or len(given) != len(default):
        raise settings.wrong("layer_types", f"expected a list of {len(default)} names")
    for kind in given:
        if kind not in (FULL, WINDOWED, "attention"):
            shown = printable(repr(kind))
            raise settings.wrong("layer_types", f"GGUF cannot express {shown} in this family")
    return [kind == WINDOWED for kind in given]


def check_window(settings: Settings, window: int | None, flags: list[bool]) -> int | None:
    """Return `window`. Raises CheckpointError if it is None and a layer needs it."""
    if any(flags) and window is None:
        raise settings.wrong("sliding_window", "is null or not used, but some layers have a window")
    return window


def window_keys(window: int | None, flags: list[bool], period: int = 0) -> Metadata:
    """Return the keys of a sliding window of `window` positions in the layers with a true flag.

    The pattern is left out if it is the one that GGUF's runtimes assume: of `period` layers the
    last one has no window; with 0 all have one.
    """
    if window is None or (period == 0 and not any(flags)):
        return {}
    keys: Metadata = {"attention.sliding_window": UInt32(min(window, MAX_WINDOW_POSITIONS))}
    if flags != periodic_flags(len(flags), period):
        keys["attention.sliding_window_pattern"] = np.array(flags, np.bool_)
    return keys


# From GGUF to config.json.


def read_windows(keys: GgufKeys, rule: WindowRule) -> tuple[int, list[bool]]:
    """Return the sliding window in positions (0: none) and for each layer whether it has it."""
    count, window = keys.integer("block_count"), keys.integer("attention.sliding_window", 0)
    flags = keys.flags("attention.sliding_window_pattern", count, rule.period)
    return window, [bool(window) and flag for flag in flags]


def layer_types(flags: list[bool]) -> list[str]:
    """Return `layer_types` of a config.json."""
    return [layer_type(windowed=flag) for flag in flags]


def single_window(keys: GgufKeys) -> int | None:
    """Return the window of a type whose layers all have it, or None if none has.

    Raises UnsupportedModel if only some layers have a window.
    """
    window, flags = read_windows(keys, WindowRule())
    if any(flags) and not all(flags):
        raise keys.unsupported("attention.sliding_window_pattern")
    return window if any(flags) else None


def optional_windows(keys: GgufKeys) -> Json:
    """Return the entries of a type in which each layer may or may not have the window."""
    window, flags = read_windows(keys, WindowRule())
    if not any(flags):
        return {"use_sliding_window": False}
    return {
        "use_sliding_window": True,
        "sliding_window": window,
        "layer_types": layer_types(flags),
    }
