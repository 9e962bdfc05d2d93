"""Describes a decoder as plain data, read from a GGUF header; every engine follows it.

A layer of all supported families performs the same steps in the same order, some of them optional:

    h = x + post_attention_norm(attn_output(attention(attn_norm(x))))
    x = h + post_ffw_norm(ffn_down(activation(ffn_gate(n)) * ffn_up(n)))     with n = ffn_norm(h)

Layers differ in which tensors exist and in a few numbers. `LayerSpec.tensors` names the tensors by
role. A role is the tensor's GGUF name without "blk.N." and ".weight": "attn_q", "attn_q.bias".

What a key means, and what a missing key means, follows llama.cpp (2026-10). Where llama.cpp ignores
what transformers computes (the window of Mistral and Phi-3), transformers is followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.families import FAMILIES, ModelFamily, WindowRule
from zeropoint.checkpoints.typed_mapping import is_array
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.header import ModelHeader
from zeropoint.models.rope import FACTORS, Rope, read_rope
from zeropoint.models.unused_settings import check_settings


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A mixture of experts: the `used` best of `count`, weighted by the softmax of a router."""

    count: int
    used: int
    normalize: bool  # divide the weights of the chosen experts by their sum
    scale: float  # then multiply them by this


@dataclass(frozen=True, kw_only=True)
class Temperature:
    """A factor on the query at position p: 1 + scale · ln(1 + ⌊p / length⌋).

    Ministral 3 uses it to keep attention sharp far beyond the context of its training.
    """

    scale: float
    length: int  # positions

    def factors(self, positions: NDArray[np.int64]) -> F32:
        """Return the factor of each position: float32, computed in float64."""
        steps = np.log(1.0 + positions // self.length)
        factors: F32 = (1.0 + self.scale * steps).astype(np.float32)
        return factors


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer: its shape, its numbers, and the names of its tensors by role."""

    heads: int
    kv_heads: int  # each key and value head serves heads / kv_heads query heads
    head_size: int
    value_size: int
    scale: float  # of q · k
    softcap: float | None  # scores become softcap · tanh(score / softcap)
    window: int | None  # positions that a query attends to, itself included; None: all
    rope: Rope | None  # None: no rotary positions
    temperature: Temperature | None  # of queries, after rotation
    activation: str  # silu, gelu (the tanh form), relu2 (squared ReLU)
    experts: Experts | None
    tensors: Mapping[str, str] = field(hash=False)

    def has(self, role: str) -> bool:
        """Return whether this layer has the tensor of a role."""
        return role in self.tensors


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A decoder from token ids to logits."""

    name: str  # general.architecture
    context_length: int
    vocab_size: int
    width: int  # of the residual stream: embedding_length
    epsilon: float  # of every RMS norm
    embedding_scale: float
    logit_softcap: float | None
    layers: tuple[LayerSpec, ...]
    output: str  # name of the output matrix: token_embd.weight if it is tied
    output_scale: str | None  # name of a tensor of one value that multiplies the logits
    output_bias: str | None  # name of a tensor (vocabulary) that is then added

    embedding = "token_embd.weight"
    output_norm = "output_norm.weight"

    @property
    def tied(self) -> bool:
        """Whether the output matrix is the embedding."""
        return self.output == self.embedding


MAX_WINDOW = 1 << 30  # positions; larger windows are cut to it, no context is so long


def read_architecture(checkpoint: Checkpoint) -> Architecture:
    """Return the decoder that `checkpoint` holds, with every tensor's shape checked.

    Raises UnsupportedModel for an architecture that is not in the table of families, and for a
    setting or a tensor that it does not use (see `unused_settings`). Raises CheckpointError for a
    missing key or tensor, or a tensor of another shape.
    """
    header = ModelHeader(checkpoint)
    family = FAMILIES.get(header.architecture)
    if family is None:
        raise UnsupportedModel(
            f"{checkpoint.path}: architecture {header.architecture!r} is not supported; "
            f"supported: {', '.join(FAMILIES)}"
        )
    width = header.integer("embedding_length", minimum=1)
    blocks = header.integer("block_count", minimum=1)
    drafts = header.integer("nextn_predict_layers", 0)  # the last layers: multi-token prediction
    if drafts >= blocks:
        raise header.wrong(
            "nextn_predict_layers",
            f"is {drafts}, but the model has {blocks} layers and must keep at least one",
        )
    embedding = header.tensor("token_embd.weight")
    architecture = Architecture(
        name=header.architecture,
        context_length=header.integer("context_length", minimum=1),
        vocab_size=embedding.shape[0],
        width=width,
        epsilon=header.number("attention.layer_norm_rms_epsilon", above=0),
        embedding_scale=width**0.5 if family.scaled_embedding else 1.0,
        logit_softcap=_read_cap(header, "final_logit_softcapping", family.logit_softcap),
        layers=tuple(_read_layer(header, family, index) for index in range(blocks - drafts)),
        output=header.optional("output.weight") or "token_embd.weight",
        output_scale=header.optional("output.scale"),
        output_bias=header.optional("output.bias"),
    )
    _check_vocabulary(header, architecture)
    _check_shapes(header, architecture)
    check_settings(header, tensor_names(architecture) | FACTORS, range(blocks - drafts, blocks))
    return architecture


def tensor_names(architecture: Architecture) -> set[str]:
    """Return the names of the tensors that a forward pass uses, without the rotary factors."""
    whole = {architecture.embedding, architecture.output, architecture.output_norm}
    optional = (architecture.output_scale, architecture.output_bias)
    layers = {name for layer in architecture.layers for name in layer.tensors.values()}
    return whole | layers | {name for name in optional if name}


def _read_cap(header: ModelHeader, key: str, default: float | None) -> float | None:
    """Return the soft cap of scores or logits, or None (0 in the file also means none)."""
    return None if default is None else header.number(key, default) or None


def _read_layer(header: ModelHeader, family: ModelFamily, index: int) -> LayerSpec:
    heads = header.integer("attention.head_count", layer=index)
    kv_heads = header.integer("attention.head_count_kv", heads, layer=index)
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise header.wrong(
            "attention.head_count_kv",
            f"{kv_heads} key and value heads do not divide {heads} query heads",
        )
    width = header.integer("embedding_length")
    head_size = header.integer("attention.key_length", width // heads, minimum=1)
    window = _read_window(header, family.windows, index) if family.windows else None
    by_width = header.integer("block_count") == family.width_scaled_layers
    scale = (width // heads if by_width else head_size) ** -0.5
    tensors = _find_tensors(header, family, index)
    rope = None
    if not family.is_ropeless(index):
        rope = read_rope(header, family, head_size, windowed=window is not None)
    return LayerSpec(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        value_size=header.integer("attention.value_length", head_size, minimum=1),
        scale=header.number("attention.scale", 0.0) or scale,
        softcap=_read_cap(header, "attn_logit_softcapping", family.attention_softcap),
        window=window,
        rope=rope,
        temperature=_read_temperature(header) if family.query_temperature else None,
        activation=_read_activation(header, family),
        experts=_read_experts(header, family) if "ffn_gate_inp" in tensors else None,
        tensors=tensors,
    )


def _read_activation(header: ModelHeader, family: ModelFamily) -> str:
    name = header.text("hidden_activation", family.activation)
    name = {"gelu_pytorch_tanh": "gelu"}.get(name, name)
    if name not in ("silu", "gelu", "relu2"):
        raise UnsupportedModel(
            f"{header.checkpoint.path}: activation {name!r} is not supported; "
            "supported: silu, gelu, relu2"
        )
    return name


def _read_temperature(header: ModelHeader) -> Temperature | None:
    scale = header.number("attention.temperature_scale", 0.0)
    length = header.integer("rope.scaling.original_context_length", 0)
    length = length or header.integer("context_length", minimum=1)
    return Temperature(scale=scale, length=length) if scale else None


def _read_window(header: ModelHeader, rule: WindowRule, index: int) -> int | None:
    """Return how many positions layer `index` attends to, or None for all."""
    window = header.integer("attention.sliding_window", rule.default_positions)
    key, period = "attention.sliding_window_pattern", rule.period
    if rule.per_layer:
        pattern = header.get(key)
        if pattern is not None and is_array(pattern):
            windowed = header.flag(key, layer=index)
            return min(window, MAX_WINDOW) if window and windowed else None
        period = header.integer(key, period)
    windowed = period == 0 or index % period < period - 1
    return min(window, MAX_WINDOW) if window and windowed else None


def _read_experts(header: ModelHeader, family: ModelFamily) -> Experts:
    count, used = header.integer("expert_count"), header.integer("expert_used_count")
    if not 0 < used <= count:
        raise header.wrong(
            "expert_used_count", f"is {used}; it must be from 1 to expert_count, {count}"
        )
    return Experts(
        count=count,
        used=used,
        normalize=not family.optional_expert_norm or header.flag("expert_weights_norm", True),
        scale=header.number("expert_weights_scale", 0.0) or 1.0,
    )


def _find_tensors(header: ModelHeader, family: ModelFamily, index: int) -> dict[str, str]:
    """Return the names of a layer's tensors by role. Matrices may have a bias and a scale."""
    tensors = header.checkpoint.tensors

    def has(role: str) -> bool:
        return f"blk.{index}.{role}.weight" in tensors

    matrices = ["attn_qkv"] if has("attn_qkv") else ["attn_q", "attn_k", "attn_v"]
    matrices.append("attn_output")
    dense = ["ffn_up", "ffn_down"] if family.fused_gate else ["ffn_gate", "ffn_up", "ffn_down"]
    stacks: list[str] = []
    if family.has_experts and has("ffn_gate_inp") and not all(map(has, dense)):
        stacks = ["ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]
    else:
        matrices += dense
    router = ["ffn_gate_inp"] if stacks else []
    found = {}
    for role in ["attn_norm", "ffn_norm", *family.optional_norms, *matrices, *router, *stacks]:
        found[role] = f"blk.{index}.{family.stored_name(role)}.weight"
        header.tensor(found[role])  # raises if it is missing
    extras = [f"{role}.bias" for role in matrices]
    extras += [f"{role}.scale" for role in matrices + stacks]
    names = {role: f"blk.{index}.{role}" for role in extras}
    return found | {role: name for role, name in names.items() if name in tensors}


def _check_vocabulary(header: ModelHeader, architecture: Architecture) -> None:
    tokens = header.checkpoint.metadata.get("tokenizer.ggml.tokens")
    if is_array(tokens) and len(tokens) != architecture.vocab_size:  # type: ignore[arg-type]
        raise CheckpointError(
            header.checkpoint.path,
            f"the vocabulary has {len(tokens)} tokens, "  # type: ignore[arg-type]
            f"but token_embd.weight has {architecture.vocab_size} rows",
            field="tokenizer.ggml.tokens",
        )


def _check_shapes(header: ModelHeader, architecture: Architecture) -> None:
    width = architecture.width
    vocabulary = (architecture.vocab_size, width)
    header.expect(architecture.embedding, vocabulary)
    header.expect(architecture.output, vocabulary)
    header.expect(architecture.output_norm, (width,))
    if architecture.output_scale:
        header.expect(architecture.output_scale, (1,))
    if architecture.output_bias:
        header.expect(architecture.output_bias, (architecture.vocab_size,))
    for index, layer in enumerate(architecture.layers):
        inner = header.inner_size(layer.tensors, index)
        for role, shape in layer_shapes(architecture, layer, inner).items():
            if layer.has(role):
                header.expect(layer.tensors[role], shape)


def layer_shapes(
    architecture: Architecture, layer: LayerSpec, inner: int
) -> dict[str, tuple[int, ...]]:
    """Return the required shape of each role that a layer may have."""
    width = architecture.width
    queries, values = layer.heads * layer.head_size, layer.heads * layer.value_size
    k_rows, v_rows = layer.kv_heads * layer.head_size, layer.kv_heads * layer.value_size
    shapes: dict[str, tuple[int, ...]] = {
        "attn_norm": (width,),
        "attn_q": (queries, width),
        "attn_k": (k_rows, width),
        "attn_v": (v_rows, width),
        "attn_qkv": (queries + k_rows + v_rows, width),
        "attn_q_norm": (layer.head_size,),
        "attn_k_norm": (layer.head_size,),
        "attn_sub_norm": (values,),
        "attn_output": (width, values),
        "post_attention_norm": (width,),
        "ffn_norm": (width,),
        "ffn_gate": (inner, width),
        "ffn_up": (inner if layer.has("ffn_gate") else 2 * inner, width),
        "ffn_sub_norm": (inner,),
        "ffn_down": (width, inner),
        "post_ffw_norm": (width,),
    }
    matrices = {role: shape for role, shape in shapes.items() if len(shape) == 2}
    shapes |= {f"{role}.bias": shape[:1] for role, shape in matrices.items()}
    shapes |= {f"{role}.scale": (1,) for role in matrices}
    if layer.experts:
        count = layer.experts.count
        shapes["ffn_gate_inp"] = (count, width)
        stacks: dict[str, tuple[int, ...]] = {
            "ffn_gate_exps": (count, inner, width),
            "ffn_up_exps": (count, inner, width),
            "ffn_down_exps": (count, width, inner),
        }
        shapes |= stacks | {f"{role}.scale": (count,) for role in stacks}
    return shapes
