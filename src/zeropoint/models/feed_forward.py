"""The feed-forward part of a layer: a dense one, or a mixture of experts.

dense      ffn_down(ffn_sub_norm(activation(ffn_gate(x)) * ffn_up(x))); some have no gate
mixture    Σ_e share_e(x) · expert_e(x) over the experts that the router ffn_gate_inp chooses,
           and an expert that all rows share
both       post_ffw_norm_1(dense(ffn_norm(s))) + post_ffw_norm_2(mixture(pre_ffw_norm_2(s))) of the
           residual stream s, which the router gets with a norm of its own

x is ffn_norm(s), if the layer has such a norm.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeropoint.checkpoints.families import ExpertRule, Gating, ModelFamily
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.header import ModelHeader
from zeropoint.models.layer_steps import (
    ACTIVATIONS,
    CLAMPED,
    LayerSteps,
    activate,
    rms_norm,
    sigmoid,
)
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes, with_extras
from zeropoint.models.routing import Routing

DENSE = ("ffn_gate", "ffn_up", "ffn_down")
STACKS = ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")
JOINED = "ffn_gate_up_exps"
BESIDE = ("post_ffw_norm_1", "pre_ffw_norm_2", "post_ffw_norm_2")
ROUTER_NORM = "router_norm"
SHARED = ("ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp")
# Values of expert_gating_func.
GATINGS: Mapping[int, Gating] = {1: "softmax", 2: "sigmoid", 3: "softmax_chosen"}


class FeedForward(Protocol):
    """One kind of feed-forward part."""

    @property
    def activation(self) -> str:
        """The activation: see `layer_steps.activate`."""

    @property
    def inner(self) -> int:
        """The columns of the last matrix, or of each expert's."""

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""

    def apply(self, steps: LayerSteps, stream: F32) -> F32:
        """Return what it computes from rows of the residual stream: (n, width) gives (n, width)."""


@dataclass(frozen=True, kw_only=True)
class Dense:
    """The same matrices for all rows."""

    activation: str
    inner: int  # columns of ffn_down
    gated: bool = True  # otherwise ffn_down(activation(ffn_up(x)))

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role.

        If there is a gate but no matrix ffn_gate, its rows are the first half of ffn_up.
        """
        halves = 1 if has("ffn_gate") or not self.gated else 2
        matrices: Shapes = {
            "ffn_gate": (self.inner, width),
            "ffn_up": (halves * self.inner, width),
            "ffn_down": (width, self.inner),
        }
        return with_extras(matrices) | {"ffn_sub_norm": (self.inner,)}

    def apply(self, steps: LayerSteps, stream: F32) -> F32:
        """Return what it computes from rows of the residual stream: (n, width) gives (n, width)."""
        x = steps.norm("ffn_norm", stream)
        up = steps.linear("ffn_up", x)
        if not self.gated:
            inner = activate(self.activation, up, np.ones_like(up))
        else:
            fused = not steps.has("ffn_gate")
            gate, up = np.split(up, 2, axis=1) if fused else (steps.linear("ffn_gate", x), up)
            inner = activate(self.activation, gate, up)
        return steps.linear("ffn_down", steps.norm("ffn_sub_norm", inner))


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A mixture of experts, of which each row uses some, and an expert that all rows share."""

    activation: str
    inner: int  # columns of each expert's ffn_down_exps
    routing: Routing
    shared: int  # columns of the shared expert's ffn_down_shexp; 0: there is none
    joined: bool = False  # the rows of ffn_gate_up_exps are those of an expert's gate and up

    @property
    def count(self) -> int:
        """The number of experts, without the shared one."""
        return self.routing.count

    @property
    def used(self) -> int:
        """The number of experts that a row uses, without the shared one."""
        return self.routing.used

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        stacks: Shapes = {
            "ffn_gate_exps": (self.count, self.inner, width),
            "ffn_up_exps": (self.count, self.inner, width),
            "ffn_down_exps": (self.count, width, self.inner),
            "ffn_gate_up_exps": (self.count, 2 * self.inner, width),
        }
        shared: Shapes = {
            "ffn_gate_shexp": (self.shared, width),
            "ffn_up_shexp": (self.shared, width),
            "ffn_down_shexp": (width, self.shared),
        }
        router: Shapes = {
            "ffn_gate_inp": (self.count, width),
            "ffn_gate_inp.bias": (self.count,),
            "exp_probs_b.bias": (self.count,),
            "ffn_gate_inp_shexp": (width,),
        }
        return with_extras(stacks | shared) | router

    def apply(self, steps: LayerSteps, stream: F32) -> F32:
        """Return what it computes from rows of the residual stream: (n, width) gives (n, width)."""
        x = steps.norm("ffn_norm", stream)
        return self.mix(steps, x, x)

    def mix(self, steps: LayerSteps, x: F32, routed: F32) -> F32:
        """Return what the experts compute from normed rows x, chosen by the rows `routed`."""
        bias = steps.vector("exp_probs_b.bias") if steps.has("exp_probs_b.bias") else None
        chosen, share = self.routing.choose(steps.linear("ffn_gate_inp", routed), bias)
        out = np.zeros((len(x), self.used, x.shape[1]), np.float32)
        for expert in np.unique(chosen).tolist():
            rows, places = np.nonzero(chosen == expert)
            own = share[rows, places, None]
            given = x[rows] * own if self.routing.weights_inputs else x[rows]
            if self.joined:
                gate, up = np.split(steps.linear("ffn_gate_up_exps", given, expert), 2, axis=1)
            else:
                gate = steps.linear("ffn_gate_exps", given, expert)
                up = steps.linear("ffn_up_exps", given, expert)
            inner = activate(self.activation, gate, up)
            down = steps.linear("ffn_down_exps", inner, expert)
            out[rows, places] = down if self.routing.weights_inputs else down * own
        total = out[:, 0]
        for place in range(1, self.used):  # in the order of choice, independent of the batch
            total = total + out[:, place]
        return total + self._share(steps, x) if self.shared else total

    def _share(self, steps: LayerSteps, x: F32) -> F32:
        """Return what the shared expert adds: (n, width)."""
        gate, up = steps.linear("ffn_gate_shexp", x), steps.linear("ffn_up_shexp", x)
        out = steps.linear("ffn_down_shexp", activate(self.activation, gate, up))
        if steps.has("ffn_gate_inp_shexp"):
            scores = (x * steps.vector("ffn_gate_inp_shexp")).sum(axis=1, keepdims=True)
            out = out * sigmoid(scores)
        return out


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """A dense part and a mixture of experts, both of the residual stream (Gemma 4)."""

    dense: Dense
    experts: Experts

    @property
    def activation(self) -> str:
        """The activation of both."""
        return self.dense.activation

    @property
    def inner(self) -> int:
        """The columns of the dense part's last matrix."""
        return self.dense.inner

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        norms: Shapes = dict.fromkeys((*BESIDE, ROUTER_NORM), (width,))
        return self.dense.shapes(width, has) | self.experts.shapes(width, has) | norms

    def apply(self, steps: LayerSteps, stream: F32) -> F32:
        """Return what it computes from rows of the residual stream: (n, width) gives (n, width)."""
        width = np.float32(stream.shape[1] ** -0.5)
        routed = rms_norm(stream, steps.vector(ROUTER_NORM) * width, steps.epsilon)
        mixed = self.experts.mix(steps, steps.norm("pre_ffw_norm_2", stream), routed)
        dense = steps.norm("post_ffw_norm_1", self.dense.apply(steps, stream))
        return dense + steps.norm("post_ffw_norm_2", mixed)


def experts_of(part: FeedForward | None) -> Experts | None:
    """Return the mixture of experts of a feed-forward part, if it has one."""
    if isinstance(part, SideBySide):
        return part.experts
    return part if isinstance(part, Experts) else None


def read_feed_forward(tensors: LayerTensors) -> FeedForward:
    """Return the feed-forward part of a layer; its tensors are taken.

    Raises UnsupportedModel for an activation, and CheckpointError for a missing tensor.
    """
    family = tensors.family
    dense = DENSE[1:] if family.fused_gate or not family.gated else DENSE
    if family.experts.beside_dense and tensors.has("ffn_gate_inp"):
        tensors.weights(*BESIDE)
        tensors.vector(ROUTER_NORM, "ffn_gate_inp.scale")
        return SideBySide(dense=_read_dense(tensors, dense), experts=_read_experts(tensors))
    if is_mixture(tensors, all(map(tensors.has, dense))):
        return _read_experts(tensors)
    return _read_dense(tensors, dense)


def _read_dense(tensors: LayerTensors, roles: tuple[str, ...]) -> Dense:
    tensors.norms("ffn_sub_norm")
    tensors.matrices(*roles)
    activation, inner = _read_activation(tensors), _read_inner(tensors, "ffn_down")
    return Dense(activation=activation, inner=inner, gated=tensors.family.gated)


def is_mixture(tensors: LayerTensors, has_dense: bool) -> bool:
    """Return whether a layer has experts: by its tensors, or by the keys that say which layers do.

    A file of a family with such keys must have the tensors that they demand.
    """
    header, family, index = tensors.header, tensors.family, tensors.index
    if not family.has_experts:
        return False
    if not family.experts.some_layers_dense:
        return tensors.has("ffn_gate_inp") and not has_dense
    leading = header.integer("leading_dense_block_count", 0)
    step = header.integer("interleave_moe_layer_step", 0) or 1
    return index >= leading and (index + 1) % step == 0


def _read_experts(tensors: LayerTensors) -> Experts:
    header, rule = tensors.header, tensors.family.experts
    tensors.weights("ffn_gate_inp")
    if rule.biased:
        tensors.take("ffn_gate_inp.bias")
    if rule.selection_bias:
        tensors.take("exp_probs_b.bias")
    joined = rule.beside_dense and tensors.has(JOINED)
    tensors.matrices(*((JOINED, STACKS[2]) if joined else STACKS), biased=rule.biased)
    inner = _read_inner(tensors, "ffn_down_exps")
    return Experts(
        activation=_read_activation(tensors),
        inner=inner,
        routing=_read_routing(header, tensors.family),
        shared=_read_shared(tensors, inner) if rule.shared else 0,
        joined=joined,
    )


def _read_shared(tensors: LayerTensors, inner: int) -> int:
    """Return the inner size of the shared expert, whose tensors are taken; 0: there is none."""
    header = tensors.header
    count = header.integer("expert_shared_count", int(tensors.has("ffn_down_shexp")))
    size = header.integer("expert_shared_feed_forward_length", 0) or count * inner
    if size == 0:
        return 0
    tensors.matrices(*SHARED)
    if "ffn_gate_inp_shexp" in tensors.family.roles.values():
        tensors.weights("ffn_gate_inp_shexp")
    return size


def _read_routing(header: ModelHeader, family: ModelFamily) -> Routing:
    rule = family.experts
    count, used = header.integer("expert_count"), header.integer("expert_used_count")
    if not 0 < used <= count:
        raise header.wrong(
            "expert_used_count", f"is {used}; it must be from 1 to expert_count, {count}"
        )
    groups, used_groups = _read_groups(header, count, used) if rule.grouped else (1, 1)
    normalize = rule.normalize
    if family.optional_expert_norm:
        normalize = header.flag("expert_weights_norm", normalize)
    return Routing(
        count=count,
        used=used,
        gating=_read_gating(header, rule),
        groups=groups,
        used_groups=used_groups,
        normalize=normalize,
        epsilon=rule.epsilon,
        scale=header.number("expert_weights_scale", 0.0) or 1.0,
        weights_inputs=rule.weights_inputs,
    )


def _read_groups(header: ModelHeader, count: int, used: int) -> tuple[int, int]:
    """Return the number of groups of experts, and the number of them that a row uses."""
    groups = header.integer("expert_group_count", 0) or 1
    used_groups = header.integer("expert_group_used_count", 0) or 1
    if groups > 1 and (count % groups or count < 2 * groups):
        raise header.wrong(
            "expert_group_count", f"is {groups}; {count} experts are not groups of two or more"
        )
    if used_groups > groups or used > used_groups * (count // groups):
        reason = f"is {used_groups} of {groups} groups; {used} experts of them are used"
        raise header.wrong("expert_group_used_count", reason)
    return groups, used_groups


def _read_gating(header: ModelHeader, rule: ExpertRule) -> Gating:
    number = header.integer("expert_gating_func", 0) if rule.optional_gating else 0
    if number == 0:
        return rule.gating
    if number not in GATINGS:
        known = ", ".join(f"{key}: {name}" for key, name in GATINGS.items())
        raise header.wrong("expert_gating_func", f"is {number}; supported: {known}")
    return GATINGS[number]


def _read_inner(tensors: LayerTensors, role: str) -> int:
    """Return the inner size: the file's key, otherwise the columns of the last matrix."""
    header = tensors.header
    size = header.integer("feed_forward_length", 0, layer=tensors.index)
    if role == "ffn_down_exps":
        size = header.integer("expert_feed_forward_length", size)
    return size or int(header.tensor(tensors.names[role]).shape[-1])


def _read_activation(tensors: LayerTensors) -> str:
    if tensors.family.activation == CLAMPED:
        return CLAMPED  # the only one of its family
    name = tensors.header.text("hidden_activation", tensors.family.activation)
    name = {"gelu_pytorch_tanh": "gelu"}.get(name, name)
    if name not in ACTIVATIONS:
        raise UnsupportedModel(
            f"{tensors.header.checkpoint.path}: activation {name!r} is not supported; "
            f"supported: {', '.join(ACTIVATIONS)}"
        )
    return name
