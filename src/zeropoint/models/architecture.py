"""Describes a decoder as plain data, read from a GGUF header; every engine follows it.

A layer has two parts, a mixer and a feed-forward part; either may be absent:

    h = x + scale · post_attention_norm(mixer(attn_norm(x)))
    x = h + scale · post_ffw_norm(feed_forward(ffn_norm(h)))

Behind them some layers take an input of their own (see `layer_inputs`), and some scale the stream.
A norm that the layer does not have is left out. The kinds of mixers are in `mixers`, those of
feed-forward parts in `feed_forward`. `LayerSpec.tensors` names the tensors by role (see
`layer_tensors`).

What a key means, and what a missing key means, follows llama.cpp (2026-10). Where llama.cpp ignores
what transformers computes (the window of Mistral and Phi-3), transformers is followed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.families import FAMILIES, ModelFamily
from zeropoint.checkpoints.families.nearest import unsupported
from zeropoint.checkpoints.typed_mapping import is_array
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.models.cached_rows import CacheTypes
from zeropoint.models.feed_forward import Experts, FeedForward, experts_of, read_feed_forward
from zeropoint.models.header import ModelHeader
from zeropoint.models.layer_inputs import NORM, PROJECTION, TABLE, LayerInputs, read_layer_inputs
from zeropoint.models.layer_state import RecurrentShape, StateShape
from zeropoint.models.layer_tensors import LayerTensors, Shapes, with_extras
from zeropoint.models.mixers import Attention, Mixer, read_mixer
from zeropoint.models.rope import factors_of
from zeropoint.models.unused_settings import check_settings

MIN_MULTIPLIER = 1e-6
NORMS = ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm")


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer: its parts, and the names of its tensors by role."""

    mixer: Mixer | None
    feed_forward: FeedForward | None
    residual_scale: float
    input_size: int = 0  # of the layer's own input (see `layer_inputs`); 0: it has none
    tensors: Mapping[str, str] = field(hash=False)

    def has(self, role: str) -> bool:
        """Return whether this layer has the tensor of a role."""
        return role in self.tensors

    @property
    def attention(self) -> Attention | None:
        """The mixer, if it is attention."""
        return self.mixer if isinstance(self.mixer, Attention) else None

    @property
    def experts(self) -> Experts | None:
        """The feed-forward part, if it is a mixture of experts."""
        return experts_of(self.feed_forward)

    @property
    def source(self) -> int | None:
        """The number of the layer whose keys and values this one uses; None: its own."""
        return self.attention.source if self.attention else None

    @property
    def state(self) -> StateShape:
        """The shape of what the layer keeps of earlier positions."""
        return self.mixer.state if self.mixer else RecurrentShape(shapes=())

    def shapes(self, width: int) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        shapes: Shapes = dict.fromkeys(NORMS, (width,))
        shapes |= with_extras(
            {"inp_gate": (self.input_size, width), "proj": (width, self.input_size)}
        )
        shapes |= {"post_norm": (width,), "layer_output_scale": (1,)}
        for part in (self.mixer, self.feed_forward):
            shapes |= part.shapes(width, self.has) if part else {}
        return shapes


@dataclass(frozen=True, kw_only=True)
class DraftSpec:
    """A layer for multi-token prediction, and the names of its own tensors by role."""

    layer: LayerSpec
    tensors: Mapping[str, str] = field(hash=False)

    def shapes(self, width: int, vocabulary: int) -> Shapes:
        """Return the required shape of each tensor that it may have beside its layer's."""
        table = (vocabulary, width)
        return with_extras({"nextn.eh_proj": (width, 2 * width)}) | {
            "nextn.enorm": (width,),
            "nextn.hnorm": (width,),
            "nextn.shared_head_norm": (width,),
            "nextn.embed_tokens": table,
            "nextn.shared_head_head": table,
        }


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A decoder from token ids to logits."""

    name: str  # general.architecture
    context_length: int
    vocab_size: int
    width: int  # of the residual stream: embedding_length
    epsilon: float  # of every RMS norm
    embedding_scale: float
    logit_scale: float  # multiplies the logits before their soft cap
    logit_softcap: float | None
    layers: tuple[LayerSpec, ...]
    output: str  # name of the output matrix: token_embd.weight if it is tied
    output_scale: str | None  # name of a tensor of one value that multiplies the logits
    output_bias: str | None  # name of a tensor (vocabulary) that is then added
    output_norm: str  # name of the norm before the output matrix
    inputs: LayerInputs | None  # that layers take beside the stream
    draft: DraftSpec | None  # a head that guesses the token after the next

    embedding = "token_embd.weight"

    @property
    def tied(self) -> bool:
        """Whether the output matrix is the embedding."""
        return self.output == self.embedding


def read_architecture(checkpoint: Checkpoint) -> Architecture:
    """Return the decoder that `checkpoint` holds, with every tensor's shape checked.

    Raises UnsupportedModel for an architecture that is not in the table of families, and for a
    setting or a tensor that it does not use (see `unused_settings`). Raises CheckpointError for a
    missing key or tensor, or a tensor of another shape.
    """
    header = ModelHeader(checkpoint)
    family = FAMILIES.get(header.architecture)
    if family is None:
        sentence = unsupported(f"architecture {header.architecture}", checkpoint.tensors)
        raise UnsupportedModel(f"{checkpoint.path}: {sentence}")
    width = header.integer("embedding_length", minimum=1)
    blocks = header.integer("block_count", minimum=1)
    drafts = header.integer("nextn_predict_layers", 0)  # the last layers: multi-token prediction
    if drafts >= blocks:
        raise header.wrong(
            "nextn_predict_layers",
            f"is {drafts}, but the model has {blocks} layers and must keep at least one",
        )
    if drafts and family.shared_caches:
        reason = "layers for multi-token prediction of this family are not implemented"
        raise header.wrong("nextn_predict_layers", f"is {drafts}; {reason}")
    embedding = header.tensor("token_embd.weight")
    architecture = Architecture(
        name=header.architecture,
        context_length=header.integer("context_length", minimum=1),
        vocab_size=embedding.shape[0],
        width=width,
        epsilon=_read_epsilon(header, family),
        embedding_scale=_read_embedding_scale(header, family),
        logit_scale=1.0 / _read_scale(header, family, "logit_scale"),
        logit_softcap=header.cap("final_logit_softcapping", family.logit_softcap),
        layers=tuple(_read_layer(header, family, index) for index in range(blocks - drafts)),
        output=header.optional("output.weight") or "token_embd.weight",
        output_scale=header.optional("output.scale"),
        output_bias=header.optional("output.bias"),
        output_norm=family.output_norm,
        inputs=read_layer_inputs(header, blocks) if family.layer_inputs else None,
        draft=_read_draft(header, family, blocks - drafts) if drafts else None,
    )
    _check_vocabulary(header, architecture)
    _check_shapes(header, architecture)
    factors = factors_of(family)
    used = tensor_names(architecture) | factors | unread_tensors(architecture)
    check_settings(header, used, range(blocks - drafts, blocks))
    return architecture


def with_cache_types(architecture: Architecture, types: CacheTypes) -> Architecture:
    """Return a model whose layers store keys and values in these types.

    Raises UnsupportedModel for heads that are no whole number of blocks.
    """
    layers = [_with_cache_types(layer, types) for layer in architecture.layers]
    return replace(architecture, layers=tuple(layers))


def _with_cache_types(layer: LayerSpec, types: CacheTypes) -> LayerSpec:
    part = layer.attention
    if part is None:
        return layer
    keys, values = types.of_keys(part.head_size), types.of_values(part.value_size)
    return replace(layer, mixer=replace(part, keys=keys, values=values))


def tensor_names(architecture: Architecture) -> set[str]:
    """Return the names of the tensors that a forward pass uses, without the rotary factors."""
    whole = {architecture.embedding, architecture.output, architecture.output_norm}
    optional = [architecture.output_scale, architecture.output_bias]
    optional += [TABLE, PROJECTION, NORM] if architecture.inputs else []
    layers = {name for layer in architecture.layers for name in layer.tensors.values()}
    return whole | layers | {name for name in optional if name}


def unread_tensors(architecture: Architecture) -> set[str]:
    """Return the names of tensors that files have for layers that use another layer's cache."""
    roles = ("attn_k", "attn_v", "attn_k_norm")
    layers = enumerate(architecture.layers)
    sharing = [index for index, layer in layers if layer.source is not None]
    return {f"blk.{index}.{role}.weight" for index in sharing for role in roles}


def _read_scale(header: ModelHeader, family: ModelFamily, key: str) -> float:
    """Return a multiplier of a family that has some; as in llama.cpp, 0 means 1."""
    value = header.number(key, 0.0) if family.multipliers else 0.0
    if value and not MIN_MULTIPLIER <= abs(value) <= 1 / MIN_MULTIPLIER:
        limits = f"from {MIN_MULTIPLIER:g} to {1 / MIN_MULTIPLIER:g}"
        raise header.wrong(key, f"is {value:g}; it must be 0 or have a magnitude {limits}")
    return value or 1.0


def _read_embedding_scale(header: ModelHeader, family: ModelFamily) -> float:
    if family.scaled_embedding:
        return float(header.integer("embedding_length") ** 0.5)
    return _read_scale(header, family, "embedding_scale")


def _read_layer(header: ModelHeader, family: ModelFamily, index: int) -> LayerSpec:
    tensors = LayerTensors(header, family, index)
    if family.single_parts:
        return _read_part(tensors)
    tensors.norms(*NORMS)
    mixer, feed_forward = read_mixer(tensors), read_feed_forward(tensors)
    inputs = read_layer_inputs(header, 1) if family.layer_inputs else None
    if inputs:
        tensors.matrices("inp_gate", "proj")
        tensors.weights("post_norm")
    if family.layer_scales and tensors.has("layer_output_scale"):
        tensors.weights("layer_output_scale")
    return LayerSpec(
        mixer=mixer,
        feed_forward=feed_forward,
        residual_scale=_read_scale(header, family, "residual_scale"),
        input_size=inputs.size if inputs else 0,
        tensors=tensors.names,
    )


def _read_draft(header: ModelHeader, family: ModelFamily, index: int) -> DraftSpec | None:
    """Return the first layer for multi-token prediction, or None if it is not one that runs."""
    tensors = LayerTensors(header, family, index)
    if not family.draft_prefix or not tensors.has("nextn.eh_proj"):
        return None
    tensors.matrices("nextn.eh_proj")
    tensors.weights("nextn.enorm", "nextn.hnorm")
    for role in ("nextn.shared_head_norm", "nextn.embed_tokens", "nextn.shared_head_head"):
        if tensors.has(role):
            tensors.weights(role)
    return DraftSpec(layer=_read_layer(header, family, index), tensors=tensors.names)


def _read_part(tensors: LayerTensors) -> LayerSpec:
    """Return a layer of one part, whose norm is `attn_norm` in the file."""
    mixer, feed_forward = None, None
    tensors.weights("attn_norm")
    if tensors.header.integer("feed_forward_length", layer=tensors.index):
        feed_forward = read_feed_forward(tensors)
        tensors.names["ffn_norm"] = tensors.names.pop("attn_norm")
    else:
        mixer = read_mixer(tensors)
    return LayerSpec(
        mixer=mixer, feed_forward=feed_forward, residual_scale=1.0, tensors=tensors.names
    )


def _read_epsilon(header: ModelHeader, family: ModelFamily) -> float:
    *others, last = family.epsilon_keys
    key = next((key for key in others if header.get(key) is not None), last)
    return header.number(key, above=0)


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
    if architecture.inputs:
        for name, shape in architecture.inputs.shapes(width, architecture.vocab_size).items():
            header.expect(name, shape)
    draft = architecture.draft
    layers = [*architecture.layers, *([draft.layer] if draft else [])]
    parts = [(layer.tensors, layer.shapes(width)) for layer in layers]
    if draft:
        parts.append((draft.tensors, draft.shapes(width, architecture.vocab_size)))
    for tensors, shapes in parts:
        for role, shape in shapes.items():
            if role in tensors:
                header.expect(tensors[role], shape)
