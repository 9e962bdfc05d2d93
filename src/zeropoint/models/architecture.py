"""What a decoder is, as plain data: read from a GGUF header, followed by every engine that runs it.

A layer of all families that we know does the same things in the same order, some of them optional:

    h = x + post_attention_norm(attn_output(attention(attn_norm(x))))
    x = h + post_ffw_norm(ffn_down(activation(ffn_gate(n)) * ffn_up(n)))     with n = ffn_norm(h)

What differs is which tensors exist and a few numbers. `LayerSpec.tensors` names the tensors by
role, and a role is the tensor's GGUF name without "blk.N." and ".weight": "attn_q", "attn_q.bias".

Facts about files (which keys exist, what is left out and what it then means) are those of
llama.cpp, 2026-10; where it knows less than transformers (the window of Mistral and Phi-3),
transformers is right.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.models.header import Header
from zeropoint.models.rope import Rope, read_rope


@dataclass(frozen=True, kw_only=True)
class Experts:
    """A router's choice: the `used` best of `count` experts, weighted by their softmax."""

    count: int
    used: int
    normalize: bool  # the chosen weights are divided by their sum
    scale: float  # then multiplied by this


@dataclass(frozen=True, kw_only=True)
class LayerSpec:
    """One layer: its shape, its numbers, and the names of its tensors by role."""

    heads: int
    kv_heads: int  # divides heads: each is shared by heads / kv_heads query heads
    head_size: int
    value_size: int
    scale: float  # of q · k
    softcap: float | None  # scores become softcap · tanh(score / softcap)
    window: int | None  # a position sees this many positions, itself included; None: all before it
    rope: Rope | None  # None: this layer has no positions
    activation: str  # silu, gelu (the tanh form), relu2 (squared ReLU)
    experts: Experts | None
    tensors: Mapping[str, str] = field(hash=False)

    def has(self, role: str) -> bool:
        """Tell whether this layer has the tensor of this role."""
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
    output: (
        str  # the name of the head's matrix: output.weight, or token_embd.weight if they are tied
    )

    embedding = "token_embd.weight"
    output_norm = "output_norm.weight"

    @property
    def tied(self) -> bool:
        """Tell whether the head is the embedding."""
        return self.output == self.embedding


@dataclass(frozen=True, kw_only=True)
class Family:
    """What `general.architecture` says beyond the keys and tensors of the file."""

    interleaved: bool = False  # rotary pairs are (2i, 2i+1)
    activation: str = "silu"
    scaled_embedding: bool = False  # embeddings are multiplied by √width
    default_window: int | None = None
    window_period: int = 0  # of so many layers, the last one sees everything; 0: all are windowed
    window_base: float | None = None  # rotary base of windowed layers, unless the file says
    ropeless_period: int = 0  # every so many layers, one without positions
    wide_blocks: int = 0  # with so many layers, the score's scale is that of width / heads
    required: tuple[str, ...] = ()  # roles beyond the common ones


_FAR = 1 << 30  # positions: a window that nobody reaches

_QK_NORMS = ("attn_q_norm", "attn_k_norm")
_POST_NORMS = ("post_attention_norm", "post_ffw_norm")

FAMILIES: Mapping[str, Family] = {
    "llama": Family(interleaved=True),  # Llama 2/3, Mistral, Mixtral, SmolLM 1/2
    "mistral3": Family(interleaved=True),
    "smollm3": Family(interleaved=True, ropeless_period=4),
    "qwen2": Family(),
    "qwen3": Family(required=_QK_NORMS),
    "qwen3moe": Family(required=_QK_NORMS),
    "phi3": Family(),
    "gemma": Family(activation="gelu", scaled_embedding=True),
    "gemma2": Family(
        activation="gelu",
        scaled_embedding=True,
        default_window=4096,
        window_period=2,
        wide_blocks=46,
        required=_POST_NORMS,
    ),
    "gemma3": Family(
        activation="gelu",
        scaled_embedding=True,
        window_period=6,
        window_base=10000.0,
        wide_blocks=62,
        required=_QK_NORMS + _POST_NORMS,
    ),
    "bitnet": Family(required=("attn_sub_norm", "ffn_sub_norm")),  # As ggml: SiLU, not ReLU²
    "bitnet-b1.58": Family(activation="relu2", required=("attn_sub_norm", "ffn_sub_norm")),
}


def read_architecture(checkpoint: Checkpoint) -> Architecture:
    """Describe the decoder that `checkpoint` holds, and check every tensor's shape against it.

    Raises UnsupportedModel for an architecture that is not in `FAMILIES`, and CheckpointError for a
    missing key or tensor, or one of another shape.
    """
    header = Header(checkpoint)
    family = FAMILIES.get(header.architecture)
    if family is None:
        raise UnsupportedModel(
            f"{checkpoint.path}: architecture {header.architecture!r} is not known here; "
            f"known: {', '.join(FAMILIES)}"
        )
    width = header.integer("embedding_length", least=1)
    count = header.integer("block_count", least=1)
    embedding = header.tensor("token_embd.weight")
    architecture = Architecture(
        name=header.architecture,
        context_length=header.integer("context_length", least=1),
        vocab_size=embedding.shape[0],
        width=width,
        epsilon=header.number("attention.layer_norm_rms_epsilon", above=0),
        embedding_scale=width**0.5 if family.scaled_embedding else 1.0,
        logit_softcap=header.number("final_logit_softcapping", 0.0) or None,
        layers=tuple(_read_layer(header, family, index) for index in range(count)),
        output="output.weight" if "output.weight" in checkpoint.tensors else "token_embd.weight",
    )
    _check_vocabulary(header, architecture)
    _check_shapes(header, architecture)
    return architecture


def _read_layer(header: Header, family: Family, index: int) -> LayerSpec:
    heads = header.integer("attention.head_count", layer=index)
    kv_heads = header.integer("attention.head_count_kv", heads, layer=index)
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise header.wrong("attention.head_count_kv", f"{heads} heads cannot share {kv_heads}")
    width = header.integer("embedding_length")
    head_size = header.integer("attention.key_length", width // heads, least=1)
    window = min(header.integer("attention.sliding_window", family.default_window or 0), _FAR)
    windowed = window > 0 and _is_windowed(header, family, index)
    wide = header.integer("block_count") == family.wide_blocks
    scale = header.number("attention.scale", (width // heads if wide else head_size) ** -0.5)
    tensors = _find_tensors(header, family, index)
    ropeless = family.ropeless_period and (index + 1) % family.ropeless_period == 0
    return LayerSpec(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        value_size=header.integer("attention.value_length", head_size, least=1),
        scale=scale,
        softcap=header.number("attn_logit_softcapping", 0.0) or None,
        window=window if windowed else None,
        rope=None if ropeless else read_rope(header, family, head_size, windowed=windowed),
        activation=_read_activation(header, family),
        experts=_read_experts(header) if "ffn_gate_inp" in tensors else None,
        tensors=tensors,
    )


def _read_activation(header: Header, family: Family) -> str:
    name = header.text("hidden_activation", family.activation)
    name = {"gelu_pytorch_tanh": "gelu"}.get(name, name)
    if name not in ("silu", "gelu", "relu2"):
        raise UnsupportedModel(f"{header.checkpoint.path}: activation {name!r} is not known here")
    return name


def _is_windowed(header: Header, family: Family, index: int) -> bool:
    pattern = header.get("attention.sliding_window_pattern")
    if pattern is not None and header.is_array(pattern):
        flags = header.array(pattern)
        return index < len(flags) and bool(flags[index])
    period = header.integer("attention.sliding_window_pattern", family.window_period)
    return period == 0 or index % period < period - 1


def _read_experts(header: Header) -> Experts:
    count, used = header.integer("expert_count"), header.integer("expert_used_count")
    if not 0 < used <= count:
        raise header.wrong("expert_used_count", f"{used} of {count} experts cannot be used")
    return Experts(
        count=count,
        used=used,
        normalize=bool(header.integer("expert_weights_norm", 1)),
        scale=header.number("expert_weights_scale", 0.0) or 1.0,
    )


_ALTERNATIVES = (  # one set of each line must be there
    (("attn_qkv",), ("attn_q", "attn_k", "attn_v")),
    (
        ("ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"),
        ("ffn_gate", "ffn_up", "ffn_down"),
        ("ffn_up", "ffn_down"),  # Phi-3: gate and up in one
    ),
)


def _find_tensors(header: Header, family: Family, index: int) -> dict[str, str]:
    prefix = f"blk.{index}."
    found = {}
    for name in header.checkpoint.tensors:
        if name.startswith(prefix):
            found[name.removeprefix(prefix).removesuffix(".weight")] = name
    wanted = ["attn_norm", "attn_output", "ffn_norm", *family.required]
    for sets in _ALTERNATIVES:
        if not any(all(role in found for role in roles) for roles in sets):
            wanted += sets[-1] if header.architecture == "phi3" else sets[1]
    for role in wanted:
        if role not in found:
            header.tensor(f"{prefix}{role}.weight")  # raises
    return found


def _check_vocabulary(header: Header, architecture: Architecture) -> None:
    tokens = header.checkpoint.metadata.get("tokenizer.ggml.tokens")
    if header.is_array(tokens) and len(tokens) != architecture.vocab_size:  # type: ignore[arg-type]
        raise CheckpointError(
            header.checkpoint.path,
            f"the vocabulary has {len(tokens)} tokens, "  # type: ignore[arg-type]
            f"token_embd.weight has {architecture.vocab_size} rows",
            field="tokenizer.ggml.tokens",
        )


def _check_shapes(header: Header, architecture: Architecture) -> None:
    width = architecture.width
    vocabulary = (architecture.vocab_size, width)
    header.expect(architecture.embedding, vocabulary)
    header.expect(architecture.output, vocabulary)
    header.expect(architecture.output_norm, (width,))
    for index, layer in enumerate(architecture.layers):
        inner = header.inner_size(layer.tensors, index)
        for role, shape in layer_shapes(architecture, layer, inner).items():
            if layer.has(role):
                header.expect(layer.tensors[role], shape)


def layer_shapes(
    architecture: Architecture, layer: LayerSpec, inner: int
) -> dict[str, tuple[int, ...]]:
    """Return the shape that each role must have, of the roles that a layer may have."""
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
    if layer.experts:
        count = layer.experts.count
        shapes["ffn_gate_inp"] = (count, width)
        shapes["ffn_gate_exps"] = shapes["ffn_up_exps"] = (count, inner, width)
        shapes["ffn_down_exps"] = (count, width, inner)
    biased = [role for role, shape in shapes.items() if len(shape) == 2]
    shapes |= {f"{role}.bias": shapes[role][:1] for role in biased}
    return shapes
