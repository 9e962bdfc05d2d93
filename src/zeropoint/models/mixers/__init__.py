"""The kinds of mixers: the part of a layer in which positions influence each other.

Each kind has one module: a frozen dataclass that describes it, its reader from a GGUF header, and
its step in numpy, which is the specification of the compiled one.
"""

from typing import Protocol

from zeropoint.formats import F32
from zeropoint.models.layer_state import LayerState, StateShape
from zeropoint.models.layer_steps import LayerSteps, PassRows
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes
from zeropoint.models.mixers.attention import Attention, read_attention
from zeropoint.models.mixers.delta_net import DeltaNet, is_delta_net, read_delta_net
from zeropoint.models.mixers.mamba2 import Mamba2, read_mamba2
from zeropoint.models.mixers.short_convolution import ShortConvolution, read_short_convolution

__all__ = ["Attention", "DeltaNet", "Mamba2", "Mixer", "ShortConvolution", "read_mixer"]


class Mixer(Protocol):
    """One kind of mixer."""

    @property
    def state(self) -> StateShape:
        """The shape of what it keeps of earlier positions."""

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""

    def mix(self, steps: LayerSteps, x: F32, state: LayerState, rows: PassRows) -> F32:
        """Return what it computes from normed rows x (n, width): (n, width). `state` advances."""


_SSM = tuple(
    f"ssm.{name}"
    for name in ("conv_kernel", "group_count", "inner_size", "state_size", "time_step_rank")
)
#: The keys of each recurrent mixer's sizes.
SIZES = {"delta_net": _SSM, "mamba2": _SSM, "short_convolution": ("shortconv.l_cache",)}


def read_mixer(tensors: LayerTensors) -> Mixer:
    """Return the mixer of a layer; its tensors are taken."""
    kind = tensors.family.recurrent_mixer
    for key in SIZES.get(kind or "", ()):  # stand in files whose layers are all attention, too
        tensors.header.get(key)
    if kind == "delta_net":
        return read_delta_net(tensors) if is_delta_net(tensors) else read_attention(tensors)
    if kind and tensors.header.integer("attention.head_count_kv", layer=tensors.index) == 0:
        return read_mamba2(tensors) if kind == "mamba2" else read_short_convolution(tensors)
    return read_attention(tensors)
