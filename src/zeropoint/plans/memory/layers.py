"""The matrices and caches of a decoder's layers, from a few dimensions.

They describe models without a file of weights, of which a config.json or only a size is known. Each
function returns one part of a layer: its cache (`LayerCache`) and its matrices under GGUF names, so
that presets choose formats for them as for a file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from zeropoint.checkpoints import NewTensor
from zeropoint.formats import find_format
from zeropoint.plans.memory.cache_shape import LayerCache, ModelShape

# Name of a tensor without "blk.N." and ".weight", and its shape: (…, rows, columns).
Roles = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class DescribedModel:
    """A model without a file: names, shapes and formats of its tensors, and its dimensions."""

    shape: ModelShape
    metadata: Mapping[str, object]
    tensors: Mapping[str, NewTensor]


@dataclass(frozen=True)
class LayerPart:
    """One part of a layer: its cache and its matrices."""

    cache: LayerCache
    roles: Roles = field(default_factory=dict)


@dataclass(frozen=True)
class AttentionHeads:
    """Heads of an attention, in which several query heads may share a key-value head."""

    #: Query heads.
    count: int
    #: Key-value heads.
    groups: int
    #: Elements of a head.
    size: int
    #: Elements of a value head; 0: the same as `size`.
    value_size: int = 0


def attention(
    width: int,
    heads: AttentionHeads,
    *,
    window: int | None = None,
    gated: bool = False,
    biased: bool = False,
) -> LayerPart:
    """Return attention. If `gated`, the matrix of the queries computes a gate too (Qwen 3.5)."""
    size, value_size = heads.size, heads.value_size or heads.size
    rows = {
        "attn_q": heads.count * size * (2 if gated else 1),
        "attn_k": heads.groups * size,
        "attn_v": heads.groups * value_size,
    }
    cache = LayerCache(keys=rows["attn_k"], values=rows["attn_v"], window=window, heads=heads.count,
                  head_size=size)  # fmt: skip
    roles: Roles = {role: (count, width) for role, count in rows.items()}
    roles |= {f"{role}.bias": (count,) for role, count in rows.items() if biased}
    return LayerPart(cache, roles | {"attn_output": (width, heads.count * value_size)})


@dataclass(frozen=True, kw_only=True)
class LatentSizes:
    """Sizes of multi-head latent attention (DeepSeek, Kimi)."""

    #: Elements of the compressed vector of keys and values.
    rank: int
    #: Elements of the compressed queries; 0: queries are not compressed.
    query_rank: int
    #: Elements of a head's key without rotary positions.
    plain: int
    #: Elements of a key with rotary positions, shared by all heads.
    rope: int
    #: Elements of a head's value.
    value: int
    #: Elements of a key of DeepSeek 3.2's indexer.
    indexer: int = 0


def latent_attention(width: int, heads: int, sizes: LatentSizes) -> LayerPart:
    """Return MLA, which caches one vector of rank + rope elements for all heads."""
    size = sizes.plain + sizes.rope
    cache = LayerCache(
        keys=sizes.rank + sizes.rope, indexer=sizes.indexer, heads=heads, head_size=size
    )
    roles: Roles = {
        "attn_kv_a_mqa": (sizes.rank + sizes.rope, width),
        "attn_kv_a_norm": (sizes.rank,),
        "attn_k_b": (heads, sizes.rank, sizes.plain),
        "attn_v_b": (heads, sizes.value, sizes.rank),
        "attn_output": (width, heads * sizes.value),
    }
    if sizes.query_rank:
        roles |= {
            "attn_q_a": (sizes.query_rank, width),
            "attn_q_a_norm": (sizes.query_rank,),
            "attn_q_b": (heads * size, sizes.query_rank),
        }
    else:
        roles["attn_q"] = (heads * size, width)
    return LayerPart(cache, roles)


def delta_net(
    width: int, heads: tuple[int, int], sizes: tuple[int, int, int], *, joint_gates: bool
) -> LayerPart:
    """Return a gated delta net (Qwen 3 Next, 3.5).

    `heads` are the numbers of key and value heads, `sizes` those of a key, a value and the kernel.
    Its state is the last kernel − 1 inputs, and a (key, value) matrix for each value head. With
    `joint_gates` the matrices of its two gates are one (Qwen 3 Next).
    """
    (key_heads, value_heads), (key, value, kernel) = heads, sizes
    keys, values = key_heads * key, value_heads * value
    mixed = 2 * keys + values
    gates: Roles = {"ssm_beta": (value_heads, width), "ssm_alpha": (value_heads, width)}
    if joint_gates:
        gates = {"ssm_ba": (2 * value_heads, width)}
    return LayerPart(
        LayerCache(state=(kernel - 1) * mixed + value_heads * key * value),
        {
            "attn_qkv": (mixed, width), "attn_gate": (values, width),
            "ssm_conv1d": (mixed, kernel), **gates, "ssm_a": (value_heads,),
            "ssm_dt.bias": (value_heads,), "ssm_norm": (value,), "ssm_out": (width, values),
        },
    )  # fmt: skip


def kimi_delta(width: int, heads: int, size: int, kernel: int) -> LayerPart:
    """Return Kimi's delta attention: three convolutions, and a (size, size) matrix per head."""
    inner = heads * size
    return LayerPart(
        LayerCache(state=3 * (kernel - 1) * inner + heads * size * size),
        {
            "attn_q": (inner, width), "attn_k": (inner, width), "attn_v": (inner, width),
            "ssm_conv1d_q": (inner, kernel), "ssm_conv1d_k": (inner, kernel),
            "ssm_conv1d_v": (inner, kernel), "ssm_f_a": (size, width), "ssm_f_b": (inner, size),
            "ssm_g_a": (size, width), "ssm_g_b": (inner, size), "ssm_beta": (heads, width),
            "attn_output": (width, inner),
        },
    )  # fmt: skip


def mamba(width: int, inner: int, state: int, kernel: int, *, groups: int, heads: int) -> LayerPart:
    """Return a Mamba layer: Mamba 2 with `heads`, Mamba 1 if there are 0."""
    if heads:
        mixed = inner + 2 * groups * state
        roles: Roles = {
            "ssm_in": (inner + mixed + heads, width), "ssm_conv1d": (mixed, kernel),
            "ssm_conv1d.bias": (mixed,), "ssm_dt.bias": (heads,), "ssm_a": (heads, 1),
            "ssm_d": (heads, 1), "ssm_norm": (groups, inner // groups), "ssm_out": (width, inner),
        }  # fmt: skip
    else:
        mixed, rank = inner, -(-width // 16)
        roles = {
            "ssm_in": (2 * inner, width), "ssm_conv1d": (inner, kernel),
            "ssm_x": (rank + 2 * state, inner), "ssm_dt": (inner, rank), "ssm_a": (inner, state),
            "ssm_d": (inner,), "ssm_out": (width, inner),
        }  # fmt: skip
    return LayerPart(LayerCache(state=(kernel - 1) * mixed + state * inner), roles)


def short_convolution(width: int, kernel: int) -> LayerPart:
    """Return LFM2's gated convolution over the last `kernel` positions."""
    roles: Roles = {
        "shortconv.in_proj": (3 * width, width),
        "shortconv.conv": (width, kernel),
        "shortconv.out_proj": (width, width),
    }
    return LayerPart(LayerCache(state=width * (kernel - 1)), roles)


def gated_recurrence(width: int, inner: int, kernel: int) -> LayerPart:
    """Return Griffin's recurrent block: a convolution and a diagonal recurrence between two gates.

    Its state has `inner` numbers and its gates are block-diagonal (De et al. 2024, arXiv
    2402.19427).
    """
    roles: Roles = {
        "rec_x": (inner, width), "rec_y": (inner, width), "rec_conv1d": (inner, kernel),
        "rec_gates": (2 * inner, max(inner // 10, 1)), "rec_a": (inner,), "rec_out": (width, inner),
    }  # fmt: skip
    return LayerPart(LayerCache(state=kernel * inner), roles)


def dense(width: int, inner: int, *, gated: bool = True) -> Roles:
    """Return a dense feed-forward part with `inner` hidden elements."""
    roles: Roles = {"ffn_up": (inner, width), "ffn_down": (width, inner)}
    return {"ffn_gate": (inner, width)} | roles if gated else roles


def experts(
    width: int, inner: int, count: int, *, shared: int = 0, gated: bool = True, latent: int = 0
) -> Roles:
    """Return a mixture of experts; `shared` is the width of the expert that every token uses.

    With `latent`, the other experts compute in so many elements, to which one matrix leads and from
    which another one comes back (Nemotron 3).
    """
    roles: Roles = {"ffn_gate_inp": (count, width)}
    if latent:
        roles |= {"ffn_latent_down": (latent, width), "ffn_latent_up": (width, latent)}
    stacked = dense(latent or width, inner, gated=gated)
    roles |= {f"{role}_exps": (count, *shape) for role, shape in stacked.items()}
    if shared:
        own = dense(width, shared, gated=gated)
        roles |= {f"{role}_shexp": shape for role, shape in own.items()}
    return roles


def mixture_beside(width: int, inner: int, count: int) -> Roles:
    """Return a mixture that is added to a dense part (Gemma 4): gate and up are one stack."""
    norms = ("pre_ffw_norm_2", "post_ffw_norm_1", "post_ffw_norm_2", "ffn_gate_inp.scale")
    roles: Roles = {role: (width,) for role in norms}
    return roles | {
        "ffn_gate_inp": (count, width),
        "ffn_gate_up_exps": (count, 2 * inner, width),
        "ffn_down_exps": (count, width, inner),
        "ffn_down_exps.scale": (count,),
    }


def without_cache(part: LayerPart) -> LayerPart:
    """Return an attention that uses the keys and values of an earlier layer."""
    own = ("attn_k", "attn_v", "attn_k.bias", "attn_v.bias")
    roles = {role: shape for role, shape in part.roles.items() if role not in own}
    return LayerPart(replace(part.cache, keys=0, values=0), roles)


def with_fused_qkv(part: LayerPart) -> LayerPart:
    """Return an attention with the matrices of queries, keys and values in one."""
    own = ("attn_q", "attn_k", "attn_v")
    rows = sum(part.roles[role][0] for role in own)
    others = {role: shape for role, shape in part.roles.items() if role not in own}
    return LayerPart(part.cache, {"attn_qkv": (rows, part.roles["attn_q"][1]), **others})


def both(first: LayerPart, second: LayerPart) -> LayerPart:
    """Return a layer with two parts side by side (Falcon-H1)."""
    cache = replace(first.cache, state=first.cache.state + second.cache.state)
    return LayerPart(cache, first.roles | second.roles)


def assemble(
    shape: ModelShape,
    layers: Iterable[Roles],
    *,
    tied: bool,
    norms: tuple[str, ...] = ("attn_norm", "ffn_norm"),
    others: Roles | None = None,
    experts: str = "BF16",
) -> DescribedModel:
    """Return the model of these layers, with its matrices in BF16 and its vectors in F32.

    Every layer has the `norms`. `others` are tensors that belong to no layer, beside the matrices
    of tokens; by default the output norm. The matrices of experts are in the format `experts`.
    """
    head = shape.layers[0]
    groups = max((layer.keys // layer.head_size for layer in shape.layers if layer.head_size),
                 default=0)  # fmt: skip
    name = shape.architecture
    metadata: dict[str, object] = {
        "general.architecture": name,
        "general.name": shape.name,
        f"{name}.block_count": len(shape.layers),
        f"{name}.embedding_length": shape.width,
        f"{name}.attention.head_count": max((la.heads for la in shape.layers), default=head.heads),
        f"{name}.attention.head_count_kv": groups,
        f"{name}.expert_count": shape.experts,
        f"{name}.expert_used_count": shape.experts_used,
    }
    others = others or {"output_norm": (shape.width,)}
    roles: Roles = {"token_embd": (shape.vocabulary, shape.width)} | others
    for index, own in enumerate(layers):
        layer: Roles = {norm: (shape.width,) for norm in norms} | own
        roles |= {f"blk.{index}.{role}": size for role, size in layer.items()}
    if not tied:
        roles["output"] = (shape.vocabulary, shape.width)
    tensors = [new_tensor(role, size, experts) for role, size in roles.items()]
    return DescribedModel(shape, metadata, {tensor.name: tensor for tensor in tensors})


#: Parts of the names of matrices that a converter stores in F32.
F32_MATRICES = ("conv", "gate_inp", "ssm_a", "ssm_d", "ssm_norm", ".bias")


def new_tensor(role: str, size: tuple[int, ...], experts: str) -> NewTensor:
    """Return a tensor of this role in the format in which a converter stores it."""
    bare = role.endswith((".bias", ".scale", ".ssm_a", ".ssm_d"))
    name = role if bare else f"{role}.weight"
    small = len(size) == 1 or any(part in role for part in F32_MATRICES)
    format = "F32" if small else experts if "_exps" in role else "BF16"
    return NewTensor(name, size, find_format(format))
