"""The norms, biases and other small tensors of a layer, which the shapes of its matrices imply."""

from zeropoint.checkpoints.families.planned_types import PlannedType
from zeropoint.plans.memory.layers import AttentionHeads, Roles

ROUTED = ("ffn_gate", "ffn_up", "ffn_down")


def attention_vectors(
    kind: PlannedType, width: int, heads: AttentionHeads, *, cached: bool = True
) -> Roles:
    """Return the vectors of an attention; without `cached` it has no keys of its own."""
    many = (heads.count, heads.groups) if kind.wide_norms else (1, 1)
    sizes = {"attn_q_norm": many[0] * heads.size}
    if cached:
        sizes["attn_k_norm"] = many[1] * heads.size
    roles: Roles = {role: (sizes[role],) for role in kind.norms if role in sizes}
    if "sinks" in kind.extras:
        roles["attn_sinks"] = (heads.count,)
    if "output bias" in kind.extras:
        roles["attn_output.bias"] = (width,)
    if "attn_sub_norm" in kind.norms:
        roles["attn_sub_norm"] = (heads.count * heads.size,)
    return roles


def layer_vectors(kind: PlannedType, width: int, feed: Roles) -> Roles:
    """Return the vectors of a layer that do not belong to its mixer."""
    roles: Roles = {
        role: (width,) for role in ("post_attention_norm", "post_ffw_norm") if role in kind.norms
    }
    if "ffn_sub_norm" in kind.norms and "ffn_down" in feed:
        roles["ffn_sub_norm"] = feed["ffn_down"][-1:]
    if "layer scale" in kind.extras:
        roles["layer_output_scale"] = (1,)
    return roles | _router_vectors(kind, width, feed)


def _router_vectors(kind: PlannedType, width: int, feed: Roles) -> Roles:
    if "ffn_gate_inp" not in feed:
        return {}
    count, extras = feed["ffn_gate_inp"][0], kind.extras
    roles: Roles = {}
    if "router bias" in extras:
        roles["ffn_gate_inp.bias"] = (count,)
    if "selection bias" in extras:
        roles["exp_probs_b.bias"] = (count,)
    if "expert biases" in extras:
        stacks = {role: feed[f"{role}_exps"] for role in ROUTED if f"{role}_exps" in feed}
        roles |= {f"{role}_exps.bias": shape[:2] for role, shape in stacks.items()}
    if "shared expert's gate" in extras:
        roles["ffn_gate_inp_shexp"] = (width,)
    return roles
