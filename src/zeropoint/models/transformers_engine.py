"""Runs a model through transformers' modules, with quantized weights: the reference engine.

The modules and the order of computation are transformers'. zeropoint provides linear modules that
keep the blocks, the norms and frequencies of the file, and a view of its cache. Every family of the
table runs, also on CUDA devices. It is slower than the compiled engine.
"""

from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache as TransformersCache
from transformers.cache_utils import CacheLayerMixin

from zeropoint.checkpoints.families import FAMILIES, Feature, HuggingFaceType
from zeropoint.checkpoints.families.windows import layer_type
from zeropoint.checkpoints.names import find_place
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, LayerSpec
from zeropoint.models.cache import Cache
from zeropoint.models.modules import BlockEmbedding, BlockExperts, BlockLinear
from zeropoint.models.weights import Weights

_ACTIVATIONS = {"silu": "silu", "gelu": "gelu_pytorch_tanh", "relu2": "relu2"}


class TransformersEngine:
    """Runs passes as `CompiledEngine` does, through transformers' modules.

    With a `device`, the matrices are stored there and torch multiplies them; without one,
    zeropoint's kernels do.
    """

    def __init__(
        self, architecture: Architecture, weights: Weights, device: str | None = None
    ) -> None:
        self.architecture = architecture
        self.family = FAMILIES[architecture.name]
        self.weights = weights
        self.device = find_device(device or "cpu")
        _check_shape(architecture, weights)
        config = make_config(architecture, weights)
        config._experts_implementation = "eager"
        with torch.device("meta"):
            model = transformers.AutoModelForCausalLM.from_config(
                config, attn_implementation="eager"
            )
        self.module = model.eval()
        self._whole: tuple[F32, F32] | None = None  # rows and their logits
        self._put_linears()
        self._put_vectors()
        self._put_frequencies(architecture.context_length)
        left = [name for name, part in self._tensors() if part.is_meta]
        if left:
            raise UnsupportedModel(
                f"{weights.checkpoint.path}: the file has no tensor for {', '.join(left)}"
            )
        self.module.to(self.device)
        if device is not None:
            for part in self.module.modules():
                if isinstance(part, BlockLinear):
                    part.move(self.device)

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return (n, vocab) logits of (n, width) states, or those of `tokens`, before any cap."""
        if tokens is not None:  # callers ask for one range after another of the same rows
            if self._whole is None or self._whole[0] is not rows:
                self._whole = rows, self.head(rows)
            return np.ascontiguousarray(self._whole[1][:, tokens.start : tokens.stop])
        with torch.no_grad():
            found: F32 = self.module.lm_head(torch.from_numpy(rows).to(self.device)).cpu().numpy()
        return found

    def run(self, embeddings: F32, cache: Cache, starts: np.ndarray) -> F32:
        """Return normed states of (batch, n, width) embeddings; all sequences start at one
        position.
        """
        if len(set(starts.tolist())) != 1:
            raise UnsupportedModel("the transformers engine needs sequences of equal length")
        batch, count, _ = embeddings.shape
        self._put_frequencies(cache.capacity)
        x = torch.from_numpy(embeddings) * self.module.model.embed_tokens.scale
        start = int(starts[0])
        view = CacheView(self.architecture, cache, batch, start)
        positions = torch.arange(start, start + count)[None].expand(batch, -1)
        with torch.no_grad():
            out = self.module.model(
                inputs_embeds=x.to(self.device),
                position_ids=positions.to(self.device),
                past_key_values=view,
                use_cache=True,
            )
        states: F32 = out.last_hidden_state.float().cpu().numpy()
        return states

    def states(self, embeddings: Tensor) -> Tensor:
        """Return normed states of scaled (batch, n, width) embeddings, from position 0 on.

        No cache is used, and gradients can flow back to the embeddings.
        """
        batch, count, _ = embeddings.shape
        self._put_frequencies(count)
        positions = torch.arange(count)[None].expand(batch, -1)
        out = self.module.model(inputs_embeds=embeddings, position_ids=positions, use_cache=False)
        states: Tensor = out.last_hidden_state
        return states

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [*self.module.named_parameters(), *self.module.named_buffers()]

    def _put_linears(self) -> None:
        self._set(
            "model.embed_tokens",
            BlockEmbedding(
                self.weights, self.architecture.embedding, self.architecture.embedding_scale
            ),
        )
        self._set("lm_head", BlockLinear(self.weights, self.architecture.output))
        for index, layer in enumerate(self.architecture.layers):
            at = f"model.layers.{index}"
            for name, module in list(self.module.get_submodule(at).named_modules()):
                if isinstance(module, nn.Linear):
                    place = find_place(f"{at}.{name}.weight", self.family)
                    role = place.name.split(".")[2] if place else name
                    self._set(f"{at}.{name}", self._linear(layer, role))
            self.module.get_submodule(f"{at}.self_attn").scaling = layer.scale
            if layer.experts:
                activation = ACT2FN[_ACTIVATIONS[layer.activation]]
                experts = BlockExperts(
                    lambda role, expert, layer=layer: self._linear(layer, role, expert),  # type: ignore[misc]
                    layer.experts,
                    activation,
                )
                self._set(f"{at}.mlp.experts", experts)

    def _linear(self, layer: LayerSpec, role: str, expert: int | None = None) -> BlockLinear:
        bias, scale = layer.tensors.get(f"{role}.bias"), layer.tensors.get(f"{role}.scale")
        order = None
        if role in self.family.permuted_roles and layer.rope:
            order = unpermute_rope_rows(layer, layer.heads if role == "attn_q" else layer.kv_heads)
        return BlockLinear(
            self.weights,
            layer.tensors[role],
            expert=expert,
            bias=None if bias is None else torch.from_numpy(self.weights.vector(bias)),
            scale=1.0 if scale is None else float(self.weights.vector(scale)[expert or 0]),
            order=order,
        )

    def _put_vectors(self) -> None:
        offset = np.float32(self.family.norm_offset)
        for name, parameter in list(self.module.named_parameters()):
            place = find_place(name, self.family)
            if not parameter.is_meta or place is None:
                continue
            if parameter.ndim == 1:
                values = self.weights.vector(place.name) - offset
            else:  # a router
                rows = self.weights.checkpoint.tensors[place.name].shape[0]
                values = self.weights.rows(place.name, np.arange(rows))
            self._set(name, nn.Parameter(torch.from_numpy(values.copy()), requires_grad=False))

    def _put_frequencies(self, context: int) -> None:
        """Set the rotary buffers, by layer type where the family has two kinds."""
        rotary = self.module.model.rotary_emb
        types = getattr(self.module.config, "layer_types", None)
        for index, layer in enumerate(self.architecture.layers):
            if layer.rope is None:
                continue
            kind = types[index] if types else ""
            prefix = f"{kind}_" if hasattr(rotary, f"{kind}_inv_freq") else ""
            frequencies = torch.from_numpy(layer.rope.inverse_frequencies(context)).to(self.device)
            setattr(rotary, f"{prefix}inv_freq", frequencies)
            setattr(rotary, f"{prefix}original_inv_freq", frequencies)
            setattr(rotary, f"{prefix}attention_scaling", layer.rope.magnitude)

    def _set(self, name: str, value: nn.Module | nn.Parameter) -> None:
        parent, _, leaf = name.rpartition(".")
        setattr(self.module.get_submodule(parent) if parent else self.module, leaf, value)


def find_device(name: str) -> torch.device:
    """Return a torch device. Raises UnsupportedModel if it does not exist."""
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UnsupportedModel(f"device {name!r} is not supported; supported: cpu, cuda, cuda:1")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UnsupportedModel(f"torch finds no {name} device on this machine")
    return torch.device(name)


def make_config(architecture: Architecture, weights: Weights) -> Any:
    """Return transformers' configuration of an architecture.

    A setting that the type's class does not define becomes an attribute without effect.
    """
    family, kind = FAMILIES[architecture.name], find_type(architecture)
    layers, first = architecture.layers, architecture.layers[0]
    tensors = weights.checkpoint.tensors
    inner = tensors[first.tensors.get("ffn_down_exps") or first.tensors["ffn_down"]].shape[-1]
    window = next((layer.window for layer in layers if layer.window), None)
    options: dict[str, Any] = {
        "vocab_size": architecture.vocab_size,
        "hidden_size": architecture.width,
        "intermediate_size": inner,
        "num_hidden_layers": len(layers),
        "num_attention_heads": first.heads,
        "num_key_value_heads": first.kv_heads,
        "head_dim": first.head_size,
        "max_position_embeddings": architecture.context_length,
        "rms_norm_eps": architecture.epsilon,
        "tie_word_embeddings": False,
        "pad_token_id": None,
        "bos_token_id": None,
        "eos_token_id": None,
        kind.activation_key: _ACTIVATIONS[first.activation],
        "query_pre_attn_scalar": round(first.scale**-2),
        "attn_logit_softcapping": first.softcap,
        "final_logit_softcapping": architecture.logit_softcap,
        "sliding_window": window,
        "use_sliding_window": window is not None,
        "rope_parameters": _rope_parameters(architecture),
    }
    if family.windows and family.windows.per_layer:
        options["layer_types"] = _layer_types(architecture)
    if family.rope_skip_period:
        options["no_rope_layers"] = [int(layer.rope is not None) for layer in layers]
    if first.experts:
        experts = first.experts
        options |= {"num_local_experts": experts.count, "num_experts_per_tok": experts.used}
        options |= {"num_experts": experts.count, "norm_topk_prob": experts.normalize}
        options |= {"moe_intermediate_size": inner}
    return getattr(transformers, kind.config_class)(**options)


def find_type(architecture: Architecture) -> HuggingFaceType:
    """Return the Hugging Face type whose classes compute what this architecture computes."""
    layers = architecture.layers
    present: dict[Feature, bool] = {
        "experts": layers[0].experts is not None,
        "window": any(layer.window for layer in layers),
        "temperature": layers[0].temperature is not None,
    }
    features = frozenset(feature for feature, is_present in present.items() if is_present)
    return FAMILIES[architecture.name].type_for(features)


def _layer_types(architecture: Architecture) -> list[str]:
    return [layer_type(windowed=layer.window is not None) for layer in architecture.layers]


def _rope_parameters(architecture: Architecture) -> dict[str, Any]:
    """Return rotary parameters; `_put_frequencies` replaces the frequencies that they give."""
    first = architecture.layers[0]
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
    if first.temperature:
        rope |= {
            "llama_4_scaling_beta": first.temperature.scale,
            "original_max_position_embeddings": first.temperature.length,
        }
    if first.rope and first.rope.dimensions != first.head_size:
        rope["partial_rotary_factor"] = first.rope.dimensions / first.head_size
    if FAMILIES[architecture.name].window_rope_base is None:
        return rope
    return {kind: dict(rope) for kind in set(_layer_types(architecture))}


def _check_shape(architecture: Architecture, weights: Weights) -> None:
    """Raise UnsupportedModel for what zeropoint's layers can have and transformers' cannot."""

    def shape(layer: LayerSpec) -> tuple[object, ...]:
        inner = layer.tensors.get("ffn_down_exps") or layer.tensors["ffn_down"]
        rows = weights.checkpoint.tensors[inner].shape
        return layer.heads, layer.kv_heads, layer.head_size, rows, layer.scale, layer.experts

    def refuse(what: str) -> None:
        path = weights.checkpoint.path
        raise UnsupportedModel(f"{path}: transformers' {architecture.name} has no {what}")

    ropes = {layer.rope for layer in architecture.layers if layer.rope}
    family = FAMILIES[architecture.name]
    if len(ropes) > 1 and family.window_rope_base is None:
        refuse("layers with rotary positions of their own")
    for layer in architecture.layers:
        if layer.has("attn_qkv") != family.fused_qkv:
            refuse(
                "matrix attn_qkv" if layer.has("attn_qkv") else "matrices attn_q, attn_k, attn_v"
            )
        if layer.value_size != layer.head_size:
            refuse(f"values of {layer.value_size} beside keys of {layer.head_size}")
        if shape(layer) != shape(architecture.layers[0]):
            refuse("layers of several shapes")
        if layer.temperature and layer.experts:
            refuse("temperature of queries in a mixture of experts")


def unpermute_rope_rows(layer: LayerSpec, heads: int) -> Tensor:
    """Return the file's row for each row of transformers' matrix: (heads · head_size,) int64.

    In the file the two rows of a rotary pair are neighbours; in transformers they are half a head
    apart.
    """
    assert layer.rope is not None
    head = torch.arange(layer.head_size)
    halves = head[: layer.rope.dimensions].view(-1, 2).T.reshape(-1)
    head = torch.cat([halves, head[layer.rope.dimensions :]])
    return (torch.arange(heads)[:, None] * layer.head_size + head).reshape(-1)


class CacheView(TransformersCache):  # type: ignore[misc]
    """A zeropoint cache with transformers' interface; the caller advances the lengths."""

    def __init__(self, architecture: Architecture, cache: Cache, batch: int, start: int) -> None:
        layers = [
            LayerView(layer, cache, index, batch, start)
            for index, layer in enumerate(architecture.layers)
        ]
        super().__init__(layers=layers)


class LayerView(CacheLayerMixin):  # type: ignore[misc]
    """One layer of a `CacheView`."""

    def __init__(self, layer: LayerSpec, cache: Cache, index: int, batch: int, start: int) -> None:
        super().__init__()
        self.spec, self.cache, self.index = layer, cache, index
        self.batch, self.start = batch, start
        self.is_sliding = layer.window is not None
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: the memory is allocated already."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Store (batch, kv_heads, n, size) states; return all that the queries may attend to."""
        stop = self.start + key_states.shape[-2]
        states = []
        for sequence in range(self.batch):
            keys, values = key_states[sequence], value_states[sequence]
            self.cache.write(
                self.index,
                sequence,
                self.start,
                keys.transpose(0, 1).cpu().numpy(),
                values.transpose(0, 1).cpu().numpy(),
            )
            states.append(self.cache.read(self.index, sequence, self._first(), stop))
        size = self.spec.value_size
        device = key_states.device
        return (
            torch.from_numpy(np.stack([keys for keys, _ in states])).to(device),
            torch.from_numpy(np.stack([values[..., :size] for _, values in states])).to(device),
        )

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of visible positions and the first one."""
        return self.start + query_length - self._first(), self._first()

    def get_seq_length(self) -> int:
        """Return the number of positions before this pass."""
        return self.start

    def get_max_length(self) -> int:
        """Return the capacity of the cache in positions."""
        return self.cache.capacity

    def _first(self) -> int:
        return 0 if self.spec.window is None else max(0, self.start - self.spec.window + 1)
