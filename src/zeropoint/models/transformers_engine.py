"""Runs a model through transformers' modules, with quantized weights: the reference engine.

The modules and the order of computation are transformers'. zeropoint provides linear modules that
keep the blocks, the norms and frequencies of the file, and a view of its cache. Every family of the
table runs, also on CUDA devices. It is slower than the compiled engine.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import transformers
from torch import Tensor, nn
from transformers.activations import ACT2FN

from zeropoint.checkpoints.families import FAMILIES
from zeropoint.checkpoints.names import find_place, huggingface_name, is_matrix, role_of
from zeropoint.checkpoints.stored_changes import NO_CHANGE, change_of, keys_of, restore
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32
from zeropoint.models.architecture import Architecture, LayerSpec
from zeropoint.models.cache import Cache
from zeropoint.models.layer_inputs import PROJECTION, TABLE
from zeropoint.models.layer_steps import CLAMPED
from zeropoint.models.modules import (
    BlockEmbedding,
    BlockExperts,
    BlockLinear,
    JoinedLinear,
    Multiplier,
    store_on_device,
)
from zeropoint.models.transformers_cache import CacheView
from zeropoint.models.transformers_config import ACTIVATIONS, check_shape, make_config
from zeropoint.models.weights import Weights

#: Makes what multiplies by a matrix on a device; None for a matrix that is never multiplied.
StoreMatrix = Callable[[BlockLinear, torch.device], Multiplier | None]


class TransformersEngine:
    """Runs passes as `CompiledEngine` does, through transformers' modules.

    With a `device`, the matrices are stored there and torch multiplies them; without one,
    zeropoint's kernels do.
    """

    def __init__(
        self,
        architecture: Architecture,
        weights: Weights,
        device: str | None = None,
        store: StoreMatrix | None = None,
    ) -> None:
        """`store` makes what multiplies in place of a `DeviceMatrix`; it needs a device."""
        self.architecture = architecture
        self.family = FAMILIES[architecture.name]
        self.weights = weights
        self._keys = keys_of(weights.checkpoint.metadata)
        self.device = find_device(device or "cpu")
        check_shape(architecture, weights)
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
            for part in self.linears():
                part.matrix = (store or store_on_device)(part, self.device)

    def linears(self) -> list[BlockLinear]:
        """Return the modules that multiply by a matrix of the file."""
        return [part for part in self.module.modules() if isinstance(part, BlockLinear)]

    def head(self, rows: F32, tokens: range | None = None) -> F32:
        """Return (n, vocab) logits of (n, width) states, or those of `tokens`, before any cap."""
        if tokens is not None:  # callers ask for one range after another of the same rows
            if self._whole is None or self._whole[0] is not rows:
                self._whole = rows, self.head(rows)
            return np.ascontiguousarray(self._whole[1][:, tokens.start : tokens.stop])
        with torch.no_grad():
            found: F32 = self.module.lm_head(torch.from_numpy(rows).to(self.device)).cpu().numpy()
        return found

    def run(
        self, embeddings: F32, cache: Cache, starts: np.ndarray, looked_up: F32 | None = None
    ) -> F32:
        """Return normed states of (batch, n, width) embeddings; all sequences start at one
        position.

        `looked_up` (batch, n, …) are the rows of the table of `layer_inputs`.
        """
        if len(set(starts.tolist())) != 1:
            raise UnsupportedModel("the transformers engine needs sequences of equal length")
        batch, count, _ = embeddings.shape
        self._put_frequencies(cache.capacity)
        x = torch.from_numpy(embeddings) * self.module.get_input_embeddings().scale
        start = int(starts[0])
        view = CacheView(self.architecture, cache, batch, start)
        positions = torch.arange(start, start + count)[None].expand(batch, -1)
        with torch.no_grad():
            out = self.module.model(
                inputs_embeds=x.to(self.device),
                position_ids=positions.to(self.device),
                past_key_values=view,
                use_cache=True,
                **self._inputs(looked_up),
            )
        view.store()
        states: F32 = out.last_hidden_state.float().cpu().numpy()
        return states

    def _inputs(self, looked_up: F32 | None) -> dict[str, Tensor]:
        """Return transformers' argument for the layers' own inputs, if there are any."""
        inputs = self.architecture.inputs
        if inputs is None or looked_up is None:
            return {}
        rows = torch.from_numpy(looked_up).reshape(*looked_up.shape[:2], inputs.layers, inputs.size)
        return {"per_layer_inputs": (rows * inputs.scale).to(self.device)}

    def states(self, embeddings: Tensor, looked_up: F32 | None = None) -> Tensor:
        """Return normed states of scaled (batch, n, width) embeddings, from position 0 on.

        No cache is used, and gradients can flow back to the embeddings.
        """
        batch, count, _ = embeddings.shape
        self._put_frequencies(count)
        positions = torch.arange(count, device=embeddings.device)[None].expand(batch, -1)
        out = self.module.model(
            inputs_embeds=embeddings,
            position_ids=positions,
            use_cache=False,
            **self._inputs(looked_up),
        )
        states: Tensor = out.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        """Return (…, vocabulary) logits of normed states (…, width); gradients can flow back."""
        return finish_logits(self.architecture, self.weights, self.module.lm_head(states))

    def norms(self) -> dict[str, tuple[nn.Parameter, float]]:
        """Return the gains of the norms by GGUF name, and what the file adds to each of them.

        A gain that the file stores in another order or form is left out.
        """
        found: dict[str, tuple[nn.Parameter, float]] = {}
        for name, parameter in self.module.named_parameters():
            place = find_place(name, self.family)
            role = role_of(place.name) if place else ""
            if place and "norm" in role and change_of(self.family, role) == NO_CHANGE:
                found[place.name] = parameter, self.family.norm_shift(role)
        return found

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [*self.module.named_parameters(), *self.module.named_buffers()]

    def _put_linears(self) -> None:
        self._set(
            str(huggingface_name(self.architecture.embedding, self.family)).removesuffix(".weight"),
            BlockEmbedding(
                self.weights, self.architecture.embedding, self.architecture.embedding_scale
            ),
        )
        self._set("lm_head", BlockLinear(self.weights, self.architecture.output))
        if self.architecture.inputs:
            table = BlockEmbedding(self.weights, TABLE, self.architecture.inputs.scale)
            for name, module in (
                (TABLE, table),
                (PROJECTION, BlockLinear(self.weights, PROJECTION)),
            ):
                theirs = str(huggingface_name(name, self.family))
                self._set(theirs.removesuffix(".weight"), module)
        for index, layer in enumerate(self.architecture.layers):
            at = f"model.layers.{index}"
            for name, module in list(self.module.get_submodule(at).named_modules()):
                if isinstance(module, nn.Linear):
                    place = find_place(f"{at}.{name}.weight", self.family)
                    role = role_of(place.name) if place else name
                    stored = layer.tensors.get(role)
                    if stored and len(self.weights.checkpoint.tensors[stored].shape) == 1:
                        continue  # a matrix of one row, which `_put_vectors` sets
                    parts = self.family.joined.get(role)
                    linear = self._joined(layer, parts) if parts else self._linear(layer, role)
                    self._set(f"{at}.{name}", linear)
            if layer.attention:
                output = str(huggingface_name(layer.tensors["attn_output"], self.family))
                part = self.module.get_submodule(output.rsplit(".", 2)[0])
                part.scaling = layer.attention.scale
            if layer.experts:
                experts = BlockExperts(
                    lambda role, expert, layer=layer: self._linear(layer, role, expert),  # type: ignore[misc]
                    layer.experts,
                    _activation(layer.experts.activation),
                )
                names = (name for name, _ in self.module.get_submodule(at).named_modules())
                own = next(name for name in names if name.rpartition(".")[2] == "experts")
                self._set(f"{at}.{own}", experts)

    def _linear(
        self, layer: LayerSpec, role: str, expert: int | None = None, *, joined: bool = False
    ) -> BlockLinear:
        bias, scale = layer.tensors.get(f"{role}.bias"), layer.tensors.get(f"{role}.scale")
        if f"{role}.scale" in self.family.parameters.values():  # transformers' module has it
            scale = None
        order = None
        attention = layer.attention
        if attention and attention.rope and role in self.family.permuted_roles:
            heads = attention.heads if role == "attn_q" else attention.kv_heads
            order = unpermute_rope_rows(attention.head_size, attention.rope.dimensions, heads)
        change = change_of(self.family, role)
        info = self.weights.checkpoint.tensors[layer.tensors[role]]
        if change.rows and not joined and not attention:
            order = torch.from_numpy(np.argsort(change.rows(self._keys, info.shape[0])))
        linear = BlockLinear(
            self.weights,
            layer.tensors[role],
            expert=expert,
            bias=None if bias is None else torch.from_numpy(self._bias(bias, expert)),
            scale=1.0 if scale is None else float(self.weights.vector(scale)[expert or 0]),
            order=order,
        )
        if change.columns:
            linear.columns = torch.from_numpy(change.columns(self._keys, info.columns))
        return linear

    def _joined(self, layer: LayerSpec, roles: Sequence[str]) -> JoinedLinear:
        """Return the parts of a matrix that transformers holds as one."""
        parts = [self._linear(layer, role, joined=True) for role in roles]
        sizes = [self.weights.checkpoint.tensors[layer.tensors[role]].shape[0] for role in roles]
        rows = [
            self.family.changes[role].rows(self._keys, size)  # type: ignore[misc]
            for role, size in zip(roles, sizes, strict=True)
        ]
        return JoinedLinear(parts, torch.from_numpy(np.argsort(np.concatenate(rows))))

    def _bias(self, name: str, expert: int | None) -> F32:
        """Return a bias (n,); of a stack that of one expert."""
        bias = self.weights.vector(name)
        found: F32 = bias if expert is None else bias[expert]
        return found

    def _put_vectors(self) -> None:
        for name, parameter in self._tensors():
            place = find_place(name, self.family)
            if not parameter.is_meta or place is None:
                continue
            role = role_of(place.name)
            if not is_matrix(place.name, self.weights.checkpoint.tensors[place.name].shape):
                stored = self.weights.vector(place.name) - np.float32(self.family.norm_shift(role))
                values = restore(change_of(self.family, role), stored, self._keys)
                values = values.reshape(parameter.shape)
            else:  # a router
                rows = self.weights.checkpoint.tensors[place.name].shape[0]
                values = self.weights.rows(place.name, np.arange(rows))
            value = torch.from_numpy(values.copy())
            is_parameter = isinstance(parameter, nn.Parameter)
            self._set(name, nn.Parameter(value, requires_grad=False) if is_parameter else value)

    def _put_frequencies(self, context: int) -> None:
        """Set the rotary buffers, by layer type where the family has two kinds."""
        parts = dict(self.module.model.named_children())
        rotary = parts.get("rotary_emb") or parts.get("pos_emb")  # none in some families
        types = getattr(self.module.config, "layer_types", None)
        for index, layer in enumerate(self.architecture.layers):
            rope = layer.attention.rope if layer.attention else None
            if rope is None:
                continue
            kind = types[index] if types else ""
            prefix = f"{kind}_" if hasattr(rotary, f"{kind}_inv_freq") else ""
            frequencies = torch.from_numpy(rope.inverse_frequencies(context)).to(self.device)
            setattr(rotary, f"{prefix}inv_freq", frequencies)
            setattr(rotary, f"{prefix}original_inv_freq", frequencies)
            setattr(rotary, f"{prefix}attention_scaling", rope.magnitude)

    def _set(self, name: str, value: nn.Module | Tensor) -> None:
        parent, _, leaf = name.rpartition(".")
        setattr(self.module.get_submodule(parent) if parent else self.module, leaf, value)


def finish_logits(architecture: Architecture, weights: Weights, products: Tensor) -> Tensor:
    """Return the logits of the products (…, vocab) of normed states with the output matrix."""
    logits = products
    if architecture.output_scale:
        scale = torch.from_numpy(weights.vector(architecture.output_scale))
        logits = logits * scale.to(logits.device)
    if architecture.output_bias:
        bias = torch.from_numpy(weights.vector(architecture.output_bias))
        logits = logits + bias.to(logits.device)
    logits = logits * architecture.logit_scale
    cap = architecture.logit_softcap
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _activation(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what computes an expert's inner values from its gate and its up: see `activate`."""
    if kind == CLAMPED:
        return _clamped_swiglu
    function = ACT2FN[ACTIVATIONS[kind]]
    return lambda gate, up: function(gate) * up


def _clamped_swiglu(gate: Tensor, up: Tensor) -> Tensor:
    gate, up = gate.clamp(max=7.0), up.clamp(-7.0, 7.0)
    return gate * torch.sigmoid(1.702 * gate) * (up + 1)


def find_device(name: str) -> torch.device:
    """Return a torch device. Raises UnsupportedModel if it does not exist."""
    kind = name.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise UnsupportedModel(f"device {name!r} is not supported; supported: cpu, cuda, cuda:1")
    if kind == "cuda" and not torch.cuda.is_available():
        raise UnsupportedModel(f"torch finds no {name} device on this machine")
    return torch.device(name)


def unpermute_rope_rows(head_size: int, dimensions: int, heads: int) -> Tensor:
    """Return the file's row for each row of transformers' matrix: (heads · head_size,) int64.

    In the file the two rows of a rotary pair are neighbours; in transformers they are half a head
    apart.
    """
    head = torch.arange(head_size)
    halves = head[:dimensions].view(-1, 2).T.reshape(-1)
    head = torch.cat([halves, head[dimensions:]])
    return (torch.arange(heads)[:, None] * head_size + head).reshape(-1)
