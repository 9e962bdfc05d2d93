"""Tiny random models of every family: in transformers, and the same weights in a GGUF file of ours.

The metadata and the changes to the weights are written by hand from what llama.cpp's files hold
(2026-10), apart from the code that converts real models: two independent statements of the same
facts.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from support.float64_models import in_double
from support.tiny_families import FAMILIES, LAYERS, SMALL, VOCABULARY, Family, T
from zeropoint import kernels
from zeropoint.checkpoints import NewTensor, create_checkpoint
from zeropoint.checkpoints.families import FAMILIES as RECORDS
from zeropoint.checkpoints.names import GgufPlace, find_place
from zeropoint.errors import FormatError
from zeropoint.formats import FORMATS, Format
from zeropoint.quantizers import quantize

__all__ = [
    "FAMILIES", "LAYERS", "SMALL", "VOCABULARY", "Family", "T", "metadata", "random_model",
    "transformers_logits", "write_gguf",
]  # fmt: skip


def random_model(family: Family, seed: int = 0, **options: Any) -> Any:
    """A transformers model in float32, its weights large enough that every part matters."""
    config = family.config(**(family.options | options))
    config._experts_implementation = "eager"  # the grouped product has no float64
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    if hasattr(model.model, "pos_emb"):  # another name for the same
        model.model.rotary_emb = model.model.pos_emb
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in stored_tensors(model):
            noise = torch.randn(weight.shape, generator=generator)
            if name.endswith("layer_scalar"):
                weight.copy_(0.8 + 0.1 * noise)
            elif "router" in name and weight.ndim == 1:
                weight.copy_(1.0 + 0.2 * noise)
            elif weight.ndim == 1 and "norm" in name:
                centre = 1.0 if "norm" in name and not family.norm_offset else 0.0
                weight.copy_(centre + 0.2 * noise)
            elif weight.ndim == 1:
                weight.copy_(0.3 * noise)
            else:
                weight.copy_(noise * (1.5 / weight.shape[-1] ** 0.5))
    return model.eval()


def stored_tensors(model: Any) -> list[tuple[str, torch.Tensor]]:
    """The parameters, and the buffers that files hold: biases of the choice of experts."""
    ends = ("correction_bias", "expert_bias", "layer_scalar")
    buffers = [pair for pair in model.named_buffers() if pair[0].endswith(ends)]
    return [*model.named_parameters(), *buffers]


def write_gguf(
    path: Path,
    family: Family,
    model: Any,
    format: str | Iterator[str] = "F32",
    more: Mapping[str, object] | None = None,
) -> Path:
    """Write `model` to GGUF, its matrices in `format`; the model takes the rounded weights.

    `format` may be one for each matrix, in turn; `more` is further metadata.
    """
    formats = repeat(format) if isinstance(format, str) else format
    config = model.config
    stored: dict[str, tuple[Format, np.ndarray, np.ndarray]] = {}
    with torch.no_grad():
        for name, weight in stored_tensors(model):
            for target, array, back in pieces(family, config, name, weight):
                others = r"ffn_gate_inp|conv1d|shortconv.conv|bias$|ssm_[ad]$|ssm_norm"
                matrix = array.ndim > 1 and not re.search(others, target)
                kind = FORMATS[next(formats) if matrix else "F32"]
                blocks = encode(np.ascontiguousarray(array), kind)
                rounded = kernels.decode(kind, blocks).reshape(array.shape)
                back(torch.from_numpy(rounded))
                stored[target] = (kind, blocks, rounded)
    for target, array in family.factors(config).items():
        stored[target] = (FORMATS["F32"], array.astype("<f4").view(np.uint8), array)
    facts = metadata(family, config) | dict(more or {})
    tensors = [NewTensor(n, value.shape, kind) for n, (kind, _, value) in stored.items()]
    with create_checkpoint(path, tensors, facts) as writer:
        for target, (_, data, _) in stored.items():
            writer.write(target, data)
    return path


def encode(weights: np.ndarray, format: Format) -> np.ndarray:
    """These weights as floats; in a format of blocks any others that are of their size."""
    if format.block_size == 1:
        return quantize(weights, format, threads=1).data
    pool = ordinary_blocks(format)
    count = weights.size // format.block_size
    return pool[np.random.default_rng(weights.size).integers(0, len(pool), count)]


@cache
def ordinary_blocks(format: Format) -> np.ndarray:
    """Some blocks whose weights are of the size of a random model's."""
    rng = np.random.default_rng(5)
    weights = (0.1 * rng.standard_normal((32, 256))).astype(np.float32)
    try:
        return quantize(weights, format, threads=1).data
    except FormatError:  # nobody here encodes it: any bytes that decode to such
        blocks = rng.integers(0, 256, (2000, format.block_bytes), np.uint8)
        peaks = np.abs(kernels.decode(format, blocks)).max(axis=1)
        kept: np.ndarray = blocks[(peaks > 0.1) & (peaks < 0.4)]
        assert len(kept) > 20
        return kept


Back = Callable[[torch.Tensor], object]  # puts the rounded values into the parameter


def pieces(
    family: Family, config: Any, name: str, weight: torch.Tensor
) -> list[tuple[str, np.ndarray, Back]]:
    """The GGUF tensors that one parameter becomes."""
    place = find_place(name, RECORDS[family.architecture])
    assert place is not None, name
    if place.alternating:
        return alternating_pieces(place, weight)
    if name.endswith("experts.gate_up_proj") and place.fused:
        layer = re.search(r"\d+", name)[0]  # type: ignore[index]
        half = weight.shape[1] // 2
        gate, up = weight[:, :half], weight[:, half:]
        return [
            (f"blk.{layer}.ffn_gate_exps.weight", gate.numpy(), gate.copy_),
            (f"blk.{layer}.ffn_up_exps.weight", up.numpy(), up.copy_),
        ]
    target = place.name
    if name.endswith("shared_expert_gate.weight"):
        return [(target, weight.squeeze(0).numpy(), weight.squeeze(0).copy_)]
    if name.endswith("correction_bias"):
        return [(target, weight.view(-1).numpy(), weight.view(-1).copy_)]
    if name.endswith("conv.conv.weight"):
        return [(target, weight.squeeze(1).numpy(), weight.squeeze(1).copy_)]
    if role := re.search(r"mixer\.(A_log|D|norm|conv1d)\b", name):
        return mamba2_pieces(config, role[1], target, weight)
    if "linear_attn" in name and "linear_attn.norm" not in name:
        return delta_net_pieces(config, target, weight, tiled="qwen35" in family.architecture)
    if family.permuted and re.search(r"attn_[qk]\.", target):
        heads = config.num_attention_heads if "attn_q" in target else config.num_key_value_heads
        order = interleaved(heads, weight.shape[0])
        return [(target, weight[order].numpy(), partial(weight.index_copy_, 0, order))]
    if family.norm_offset and "norm" in target and "ssm_norm" not in target:
        raised = weight.numpy() + np.float32(family.norm_offset)
        return [(target, raised, lambda value: weight.copy_(value - family.norm_offset))]
    return [(target, weight.numpy(), weight.copy_)]


def delta_net_pieces(
    config: Any, target: str, weight: torch.Tensor, *, tiled: bool
) -> list[tuple[str, np.ndarray, Back]]:
    """The GGUF tensors of a parameter of a delta net: Qwen 3.5 tiles the heads of values."""
    groups, heads = config.linear_num_key_heads, config.linear_num_value_heads
    role, flat = target.split(".")[2], weight.squeeze()
    if role == "attn_qkvz":  # of each head of keys: its query, key, values and gates
        size = config.linear_key_head_dim
        places = np.arange(len(flat)).reshape(groups, -1)
        cuts = [size, 2 * size, 2 * size + heads // groups * size]
        parts = [part.reshape(-1) for part in np.split(places, cuts, axis=1)]
        qkv, z = torch.from_numpy(np.concatenate(parts[:3])), torch.from_numpy(parts[3])
        return [
            (target.replace(role, name), flat[order].numpy(), partial(flat.index_copy_, 0, order))
            for name, order in (("attn_qkv", qkv), ("attn_gate", z))
        ]
    rows = flat.shape[1 if role == "ssm_out" else 0]
    mixed = role in ("attn_qkv", "ssm_conv1d")
    before = 2 * groups * config.linear_key_head_dim if mixed else 0
    own = torch.arange(before, rows).view(groups, heads // groups, -1)
    order = torch.cat([torch.arange(before), own.transpose(0, 1).reshape(-1)])
    order = order if tiled else torch.arange(rows)
    if role == "ssm_out":
        return [(target, weight[:, order].numpy(), partial(weight.index_copy_, 1, order))]
    if role == "ssm_a":
        values = -torch.exp(weight[order])
        return [
            (target, values.numpy(), lambda value: weight.index_copy_(0, order, (-value).log()))
        ]
    return [(target, flat[order].numpy(), partial(flat.index_copy_, 0, order))]


def alternating_pieces(
    place: GgufPlace, weight: torch.Tensor
) -> list[tuple[str, np.ndarray, Back]]:
    """The stacks of gpt-oss: gate and up are the even and odd outputs."""
    outputs = weight if weight.ndim == 2 else weight.transpose(1, 2)
    if not place.fused:
        return [(place.name, outputs.numpy(), outputs.copy_)]
    gate, up = (outputs[:, start::2] for start in (0, 1))
    other = place.name.replace("gate", "up")
    return [(place.name, gate.numpy(), gate.copy_), (other, up.numpy(), up.copy_)]


def mamba2_pieces(
    config: Any, role: str, target: str, weight: torch.Tensor
) -> list[tuple[str, np.ndarray, Back]]:
    """The GGUF tensor of a parameter of Mamba-2 that files hold in another form."""
    if role == "A_log":
        return [
            (
                target,
                -torch.exp(weight)[:, None].numpy(),
                lambda value: weight.copy_((-value[:, 0]).log()),
            )
        ]
    if role == "conv1d":
        flat = weight.squeeze()
    else:
        flat = weight.view(config.n_groups if role == "norm" else len(weight), -1)
    return [(target, flat.numpy(), flat.copy_)]


def interleaved(heads: int, rows: int) -> torch.Tensor:
    """Return the row permutation that makes the pairs (i, i + size/2) of each head neighbours."""
    size = rows // heads
    head = torch.arange(size).view(2, size // 2).T.reshape(-1)
    return (torch.arange(heads)[:, None] * size + head).reshape(-1)


def metadata(family: Family, config: Any) -> dict[str, Any]:
    """The keys that the file of such a model has."""
    name = family.architecture
    config.allow_global_per_layer_attribute_access = True  # heads of two sizes
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    keys = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": getattr(config, "rms_norm_eps", 0.0),
        "rope.dimension_count": head,
    }
    if getattr(config, "moe_intermediate_size", None) and name != "nemotron_h":
        keys["expert_feed_forward_length"] = config.moe_intermediate_size
    if getattr(config, "shared_expert_intermediate_size", None):
        keys["expert_shared_feed_forward_length"] = config.shared_expert_intermediate_size
    if hasattr(config, "linear_num_value_heads"):
        heads, size = config.linear_num_value_heads, config.linear_value_head_dim
        keys |= {
            "ssm.conv_kernel": config.linear_conv_kernel_dim,
            "ssm.state_size": config.linear_key_head_dim,
            "ssm.group_count": config.linear_num_key_heads,
            "ssm.time_step_rank": heads,
            "ssm.inner_size": heads * size,
        }
    if hasattr(config, "mamba_num_heads"):
        heads = config.mamba_num_heads
        keys |= {
            "ssm.conv_kernel": config.conv_kernel,
            "ssm.state_size": config.ssm_state_size,
            "ssm.group_count": config.n_groups,
            "ssm.time_step_rank": heads,
            "ssm.inner_size": heads * config.mamba_head_dim,
        }
    if "conv" in (kinds := getattr(config, "layer_types", None) or ()):
        heads = [0 if kind == "conv" else config.num_key_value_heads for kind in kinds]
        keys["attention.head_count_kv"] = np.array(heads, np.int32)
    keys |= gemma4_keys(config)
    if RECORDS[name].alternating_experts:
        keys["expert_feed_forward_length"] = config.intermediate_size
    if blocks := getattr(config, "layers_block_type", None):
        full = [kind == "full_attention" for kind in blocks]
        mlp = [kind == "mlp" for kind in blocks]
        keys["attention.head_count_kv"] = np.array(full, np.int32) * config.num_key_value_heads
        keys["feed_forward_length"] = np.array(mlp, np.int32) * config.intermediate_size
        del keys["attention.layer_norm_rms_epsilon"], keys["rope.dimension_count"]
    elif "rope_theta" in config.rope_parameters:
        keys["rope.freq_base"] = config.rope_parameters["rope_theta"]
    keys |= family.keys
    return {"general.architecture": name} | {f"{name}.{key}": value for key, value in keys.items()}


def gemma4_keys(config: Any) -> dict[str, Any]:
    """The keys of inputs of layers and of wider feed-forward parts of layers that share caches."""
    keys: dict[str, Any] = {}
    if (size := getattr(config, "hidden_size_per_layer_input", None)) is not None:
        keys["embedding_length_per_layer_input"] = size
    if getattr(config, "top_k_experts", None):
        keys |= {"expert_count": config.num_experts, "expert_used_count": config.top_k_experts}
    if getattr(config, "use_double_wide_mlp", False):
        own = config.num_hidden_layers - config.num_kv_shared_layers
        sharing = np.arange(config.num_hidden_layers) >= own
        keys["feed_forward_length"] = (config.intermediate_size * (1 + sharing)).astype(np.int32)
    return keys


def transformers_logits(model: Any, tokens: np.ndarray, dtype: torch.dtype) -> np.ndarray:
    """Return transformers' logits for (batch, n) tokens, computed in float32 or float64."""
    if dtype is torch.float64:
        return in_double(model, torch.from_numpy(tokens))
    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(tokens), use_cache=False).logits.numpy()
    return logits
