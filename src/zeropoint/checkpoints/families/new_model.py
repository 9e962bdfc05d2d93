"""The metadata and tensors of a small new decoder, in the family that stores it."""

from collections.abc import Mapping
from dataclasses import dataclass

from zeropoint.checkpoints.families.bitnet import BITNET
from zeropoint.checkpoints.families.llama import LLAMA
from zeropoint.checkpoints.values import Float32, UInt32


@dataclass(frozen=True, kw_only=True)
class DecoderShape:
    """The sizes of a decoder whose output matrix is its embedding."""

    vocabulary: int = 4096
    width: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    inner: int = 768
    context: int = 256

    @property
    def head_size(self) -> int:
        """Elements of a head."""
        return self.width // self.heads


def new_decoder(
    shape: DecoderShape, *, sub_norms: bool
) -> tuple[dict[str, object], Mapping[str, tuple[int, ...]]]:
    """Return the keys and the shapes of the tensors of a new model, without a tokenizer.

    With `sub_norms` it has norms before the output and down projections, as ternary models do.
    """
    family = BITNET if sub_norms else LLAMA
    name, width, kv = family.architecture, shape.width, shape.kv_heads * shape.head_size
    keys = {
        "context_length": UInt32(shape.context),
        "embedding_length": UInt32(width),
        "block_count": UInt32(shape.layers),
        "feed_forward_length": UInt32(shape.inner),
        "attention.head_count": UInt32(shape.heads),
        "attention.head_count_kv": UInt32(shape.kv_heads),
        "attention.layer_norm_rms_epsilon": Float32(1e-6),
        "rope.dimension_count": UInt32(shape.head_size),
        "rope.freq_base": Float32(10000.0),
    }
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (width,),
        "attn_q": (width, width),
        "attn_k": (kv, width),
        "attn_v": (kv, width),
        "attn_output": (width, width),
        "ffn_norm": (width,),
        "ffn_gate": (shape.inner, width),
        "ffn_up": (shape.inner, width),
        "ffn_down": (width, shape.inner),
    }
    if sub_norms:
        layer |= {"attn_sub_norm": (width,), "ffn_sub_norm": (shape.inner,)}
    tensors: dict[str, tuple[int, ...]] = {"token_embd.weight": (shape.vocabulary, width)}
    for index in range(shape.layers):
        tensors |= {f"blk.{index}.{role}.weight": size for role, size in layer.items()}
    tensors["output_norm.weight"] = (width,)
    metadata: dict[str, object] = {"general.architecture": name}
    return metadata | {f"{name}.{key}": value for key, value in keys.items()}, tensors
