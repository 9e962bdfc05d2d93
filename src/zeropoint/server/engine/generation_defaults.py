"""How a model's author wants its tokens sampled: the keys `general.sampling.*` of a file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from zeropoint.models import Sampling

# Key of the file after "general.sampling.", and the field.
_KEYS = {
    "temp": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
    "penalty_repeat": "repeat_penalty",
    "penalty_last_n": "repeat_window",
}
_INTEGERS = {"top_k", "repeat_window"}


def sampling_defaults(metadata: Mapping[str, Any]) -> Sampling:
    """Return the sampling that a file asks for; what it leaves out has zeropoint's defaults.

    A value of the wrong type or out of range is ignored.
    """
    sampling = Sampling()
    for key, name in _KEYS.items():
        value = metadata.get(f"general.sampling.{key}")
        if value is None or isinstance(value, str | bool) or not hasattr(value, "__float__"):
            continue
        number = int(value) if name in _INTEGERS else round(float(value), 6)
        try:
            sampling = replace(sampling, **{name: number})  # type: ignore[arg-type]
        except ValueError:
            continue
    return sampling
