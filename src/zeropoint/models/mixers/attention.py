"""Grouped-query attention with rotary positions.

    q, k, v = split(x · Wᵀ),  q and k normed per head and rotated
    y_p = Σ_j softmax_j(cap(scale · q_p · k_j)) v_j    over the positions j ≤ p that p can see

Gated attention multiplies y by the sigmoid of further rows of the query matrix (arXiv:2505.06708).
A sink is one more score of each head in the softmax, whose share is dropped (arXiv:2309.17453).
Several heads of queries share one head of keys and values (arXiv:2305.13245).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints.families import WindowRule
from zeropoint.checkpoints.typed_mapping import is_array
from zeropoint.formats import F32
from zeropoint.models.cached_rows import EXACT_ROWS, CachedRows
from zeropoint.models.header import ModelHeader
from zeropoint.models.layer_state import KeyValueShape, KeyValueState, LayerState
from zeropoint.models.layer_steps import LayerSteps, PassRows, rms_norm, sigmoid, softmax
from zeropoint.models.layer_tensors import Has, LayerTensors, Shapes, with_extras
from zeropoint.models.rope import Rope, read_rope, rotate

OWN_SIZES = tuple(
    f"{key}{own}"
    for key in ("attention.key_length", "attention.value_length", "rope.dimension_count")
    for own in ("", "_swa")
)
MAX_WINDOW = 1 << 30  # positions; larger windows are cut to it, no context is so long


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
class Attention:
    """The numbers of one layer's attention."""

    heads: int
    kv_heads: int  # each key and value head serves heads / kv_heads query heads
    head_size: int
    value_size: int
    scale: float  # of q · k
    softcap: float | None  # scores become softcap · tanh(score / softcap)
    window: int | None  # positions that a query attends to, itself included; None: all
    rope: Rope | None  # None: no rotary positions
    temperature: Temperature | None  # of queries, after rotation
    normed_values: bool  # values have a norm without weights; without attn_v they are the keys
    source: int | None  # the layer whose keys and values it uses; None: its own
    gated: bool  # behind the rows of each head's query lie those of its gate
    norms_of_all_heads: bool  # of queries and of keys; otherwise each head has a norm
    keys: CachedRows = EXACT_ROWS  # how they are stored
    values: CachedRows = EXACT_ROWS

    @property
    def state(self) -> KeyValueShape:
        """The shape of its keys and values."""
        return KeyValueShape(
            kv_heads=self.kv_heads,
            head_size=self.head_size,
            value_size=self.value_size,
            window=self.window,
            keys=self.keys,
            values=self.values,
        )

    def shapes(self, width: int, has: Has) -> Shapes:
        """Return the required shape of each tensor that the layer may have, by role."""
        queries, values = self.heads * self.head_size, self.heads * self.value_size
        k_rows, v_rows = self.kv_heads * self.head_size, self.kv_heads * self.value_size
        matrices: Shapes = {
            "attn_q": (2 * queries if self.gated else queries, width),
            "attn_k": (k_rows, width),
            "attn_v": (v_rows, width),
            "attn_qkv": (queries + k_rows + v_rows, width),
            "attn_output": (width, values),
        }
        return with_extras(matrices) | {
            "attn_q_norm": (self.head_size * (self.heads if self.norms_of_all_heads else 1),),
            "attn_k_norm": (self.head_size * (self.kv_heads if self.norms_of_all_heads else 1),),
            "attn_sinks": (self.heads,),
            "attn_sub_norm": (values,),
        }

    def mix(self, steps: LayerSteps, x: F32, state: LayerState, rows: PassRows) -> F32:
        """Return what attention computes from normed rows x (n, width): (n, width)."""
        assert isinstance(state, KeyValueState)
        q, k, v, gate = self._project(steps, x)
        if self.rope:
            q = rotate(self.rope, q, *rows.cosines_and_sines(self.rope))
        if self.temperature:
            q = q * self.temperature.factors(rows.positions)[:, None, None]
        sinks = steps.vector("attn_sinks") if steps.has("attn_sinks") else None
        if self.rope and self.source is None:
            k = rotate(self.rope, k, *rows.cosines_and_sines(self.rope))
        q, k, v = self.keys.rotate(q), self.keys.rotate(k), self.values.rotate(v)
        mixed = np.empty((len(x), self.heads * self.value_size), np.float32)
        for sequence, start in enumerate(rows.starts.tolist()):
            own = rows.of(sequence)
            if self.source is None:
                state.write(sequence, start, k[own], v[own])
            mixed[own] = self._attend(state, sequence, start, q[own], sinks)
        mixed = self.values.rotate(mixed)  # back
        if gate is not None:
            mixed *= sigmoid(gate.reshape(mixed.shape))
        return steps.linear("attn_output", steps.norm("attn_sub_norm", mixed))

    def _project(self, steps: LayerSteps, x: F32) -> tuple[F32, F32, F32, F32 | None]:
        """Return queries (n, heads, size), keys and values (n, kv_heads, size), and the gate."""
        n = len(x)
        if self.source is not None:
            q = steps.norm("attn_q_norm", steps.linear("attn_q", x).reshape(n, self.heads, -1))
            return q, q[:, :0], q[:, :0], None
        if steps.has("attn_qkv"):
            queries, keys = self.heads * self.head_size, self.kv_heads * self.head_size
            joined = steps.linear("attn_qkv", x)
            q, k, v = np.split(joined, [queries, queries + keys], axis=1)
        else:
            q, k = steps.linear("attn_q", x), steps.linear("attn_k", x)
            v = steps.linear("attn_v", x) if steps.has("attn_v") else k
        q, gate = q.reshape(n, self.heads, -1), None
        if self.gated:
            q, gate = np.split(q, 2, axis=2)
        k = k.reshape(n, self.kv_heads, self.head_size)
        q, k = steps.norm("attn_q_norm", q), steps.norm("attn_k_norm", k)
        v = v.reshape(n, self.kv_heads, self.value_size)
        if self.normed_values:
            v = rms_norm(v, np.ones(self.value_size, np.float32), steps.epsilon)
        return q, k, v, gate

    def _attend(
        self, state: KeyValueState, sequence: int, start: int, queries: F32, sinks: F32 | None
    ) -> F32:
        """Return (n, heads · value_size) of queries (n, heads, head_size) from `start` on."""
        count = len(queries)
        first = 0 if self.window is None else max(0, start - self.window + 1)
        keys, values = state.read(sequence, first, start + count)
        values = values[..., : self.value_size]
        shared = self.heads // self.kv_heads
        grouped = queries.reshape(count, self.kv_heads, shared, -1).transpose(1, 2, 0, 3)
        scores = grouped @ keys.swapaxes(1, 2)[:, None] * np.float32(self.scale)
        if self.softcap is not None:
            cap = np.float32(self.softcap)
            scores = np.tanh(scores / cap) * cap
        distance = (start + np.arange(count))[:, None] - np.arange(first, start + count)
        hidden = distance < 0
        if self.window is not None:
            hidden |= distance >= self.window
        scores = np.where(hidden, np.float32(-np.inf), scores)
        if sinks is not None:
            sinks = sinks.reshape(self.kv_heads, shared, 1, 1)
        mixed = softmax(scores, sinks) @ values[:, None]  # (kv_heads, shared, n, value_size)
        return mixed.transpose(2, 0, 1, 3).reshape(count, -1)


def read_attention(tensors: LayerTensors) -> Attention:
    """Return the attention of a layer; its tensors are taken.

    Raises CheckpointError for a missing key or tensor, and for heads that do not fit each other.
    """
    header, family, index = tensors.header, tensors.family, tensors.index
    heads = header.integer("attention.head_count", layer=index)
    kv_heads = header.integer("attention.head_count_kv", heads, layer=index)
    if heads < 1 or kv_heads < 1 or heads % kv_heads:
        raise header.wrong(
            "attention.head_count_kv",
            f"{kv_heads} key and value heads do not divide {heads} query heads",
        )
    width = header.integer("embedding_length")
    window = _read_window(header, family.windows, index) if family.windows else None
    for key in (
        OWN_SIZES if family.window_sizes else ()
    ):  # files of layers of one kind have them, too
        header.get(key)
    own = "_swa" if family.window_sizes and window else ""
    head_size = header.integer(f"attention.key_length{own}", width // heads, minimum=1)
    by_width = header.integer("block_count") == family.width_scaled_layers
    scale = (width // heads if by_width else head_size) ** -0.5
    rope = None
    if not family.is_ropeless(index):
        rope = read_rope(header, family, head_size, windowed=window is not None)
    for key in () if family.rotates else ("rope.dimension_count", "rope.freq_base"):
        header.get(key)  # llama.cpp's converter writes them for all families
    if family.rope_switch and not header.flag("rope.scaling.finetuned", True):
        rope = None
    value_size = header.integer(f"attention.value_length{own}", head_size, minimum=1)
    if family.gated_attention and value_size != head_size:
        raise header.wrong(
            "attention.value_length", f"is {value_size}; the gate of a head has {head_size} rows"
        )
    source = _read_source(tensors, windowed=window is not None) if family.shared_caches else None
    _take_projections(tensors, shares=source is not None)
    if family.attention_sinks:
        tensors.weights("attn_sinks")
    return Attention(
        heads=heads,
        kv_heads=kv_heads,
        head_size=head_size,
        value_size=value_size,
        scale=1.0 if family.unscaled else header.number("attention.scale", 0.0) or scale,
        softcap=header.cap("attn_logit_softcapping", family.attention_softcap),
        window=window,
        rope=rope,
        temperature=_read_temperature(header) if family.query_temperature else None,
        normed_values=family.normed_values,
        source=source,
        gated=family.gated_attention,
        norms_of_all_heads=family.norms_of_all_heads,
    )


def _take_projections(tensors: LayerTensors, *, shares: bool) -> None:
    """Take the matrices and norms; a layer that `shares` another's cache has only the queries'."""
    family = tensors.family
    tensors.norms("attn_q_norm", *([] if shares else ["attn_k_norm"]), "attn_sub_norm")
    if shares:
        tensors.matrices("attn_q")
    elif tensors.has("attn_qkv") and not family.gated_attention:
        tensors.matrices("attn_qkv")
    else:
        equal = family.normed_values and not tensors.has("attn_v")
        tensors.matrices("attn_q", "attn_k", *([] if equal else ["attn_v"]))
    tensors.matrices("attn_output")


def _read_source(tensors: LayerTensors, *, windowed: bool) -> int | None:
    """Return the layer whose keys and values this one uses: the last of its kind with its own."""
    header, family = tensors.header, tensors.family
    assert family.windows is not None
    count = header.integer("block_count")
    shared = header.integer("attention.shared_kv_layers", 0)
    if shared >= count:
        raise header.wrong("attention.shared_kv_layers", f"is {shared} of {count} layers")
    if tensors.index < count - shared:
        return None
    for index in range(count - shared - 1, -1, -1):
        if (_read_window(header, family.windows, index) is not None) == windowed:
            return index
    kind = "with" if windowed else "without"
    raise header.wrong(
        "attention.shared_kv_layers",
        f"is {shared}, but no layer {kind} a window has keys and values of its own",
    )


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
