"""Parts of model shapes: layers of attention, gates and experts."""

import re
from dataclasses import dataclass, field

Shape = tuple[int, ...]


@dataclass
class ModelShape:
    """Input of a plan: GGUF metadata and (name, shape in PyTorch order) of each tensor."""

    architecture: str
    layers: int
    width: int
    keys: dict[str, object] = field(default_factory=dict)
    tensors: list[tuple[str, Shape]] = field(default_factory=list)
    kind: str = "F16"  # the format of matrices in the source

    def metadata(self) -> dict[str, object]:
        """GGUF keys that llama.cpp demands before it quantizes."""
        basics: dict[str, object] = {
            "block_count": self.layers,
            "context_length": 2048,
            "embedding_length": self.width,
            "attention.layer_norm_rms_epsilon": 1e-6,
            "attention.layer_norm_epsilon": 1e-5,
        }
        return {
            "general.architecture": self.architecture,
            **{f"{self.architecture}.{key}": value for key, value in (basics | self.keys).items()},
        }

    def add(self, name: str, *shape: int) -> None:
        """Add one tensor."""
        self.tensors.append((name, shape))


def role_and_layer(name: str) -> tuple[str, int]:
    """Sort by what a tensor is for, then by layer: equal formats then stand side by side."""
    layer = re.search(r"\d+", name)
    return re.sub(r"\d+", "", name), int(layer[0]) if layer else -1


def source_format(model: ModelShape, name: str, shape: tuple[int, ...]) -> str:
    """Matrices in the model's 16-bit format; vectors, norms and routers in F32."""
    plain = len(shape) < 2 or "norm" in name or "ffn_gate_inp" in name
    return "F32" if plain else model.kind


def attention(
    model: ModelShape, block: str, heads: int, kv_heads: int, size: int, width: int
) -> None:
    """Add separate q, k, v and output projections."""
    model.add(f"{block}.attn_norm.weight", width)
    model.add(f"{block}.attn_q.weight", heads * size, width)
    model.add(f"{block}.attn_k.weight", kv_heads * size, width)
    model.add(f"{block}.attn_v.weight", kv_heads * size, width)
    model.add(f"{block}.attn_output.weight", width, heads * size)


def mlp(model: ModelShape, block: str, width: int, inner: int, suffix: str = "") -> None:
    """Add gate, up and down projections."""
    model.add(f"{block}.ffn_gate{suffix}.weight", inner, width)
    model.add(f"{block}.ffn_up{suffix}.weight", inner, width)
    model.add(f"{block}.ffn_down{suffix}.weight", width, inner)


def experts(model: ModelShape, block: str, count: int, width: int, inner: int) -> None:
    """Add a router and stacked experts."""
    model.add(f"{block}.ffn_gate_inp.weight", count, width)
    model.add(f"{block}.ffn_gate_exps.weight", count, inner, width)
    model.add(f"{block}.ffn_up_exps.weight", count, inner, width)
    model.add(f"{block}.ffn_down_exps.weight", count, width, inner)


def dense(  # noqa: PLR0913
    architecture: str, *, layers: int, width: int, heads: int, kv_heads: int, inner: int,
    vocabulary: int = 512, tied: bool = False, bias: bool = False, size: int | None = None,
    kind: str = "F16",
) -> ModelShape:  # fmt: skip
    """Build a decoder of the llama family."""
    size = size or width // heads
    model = ModelShape(architecture, layers, width, kind=kind)
    model.keys = {
        "feed_forward_length": inner,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "rope.dimension_count": size,
        "vocab_size": vocabulary,
    }
    model.add("token_embd.weight", vocabulary, width)
    model.add("output_norm.weight", width)
    if not tied:
        model.add("output.weight", vocabulary, width)
    for layer in range(layers):
        block = f"blk.{layer}"
        attention(model, block, heads, kv_heads, size, width)
        if bias:
            for part, rows in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
                model.add(f"{block}.attn_{part}.bias", rows * size)
        model.add(f"{block}.ffn_norm.weight", width)
        mlp(model, block, width, inner)
    return model


def mixture(  # noqa: PLR0913
    architecture: str, *, layers: int, width: int, heads: int, kv_heads: int, inner: int,
    count: int, used: int, size: int, shared: int = 0, dense_layers: int = 0,
) -> ModelShape:  # fmt: skip
    """Build a mixture of experts, with shared experts and leading dense layers if asked."""
    model = ModelShape(architecture, layers, width)
    model.keys = {
        "feed_forward_length": inner * 2,
        "expert_feed_forward_length": inner,
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": size,
        "attention.value_length": size,
        "rope.dimension_count": size,
        "expert_count": count,
        "expert_used_count": used,
        "vocab_size": 512,
    }
    model.add("token_embd.weight", 512, width)
    model.add("output_norm.weight", width)
    model.add("output.weight", 512, width)
    for layer in range(layers):
        block = f"blk.{layer}"
        attention(model, block, heads, kv_heads, size, width)
        if layer < dense_layers:
            mlp(model, block, width, 2 * inner)
            continue
        experts(model, block, count, width, inner)
        if shared:
            mlp(model, block, width, shared, "_shexp")
    return model
