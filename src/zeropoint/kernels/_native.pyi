# The compiled extension: see native/src/bindings. Arrays are C-contiguous.
from collections.abc import Callable, Sequence
from typing import Any

from numpy import float32, float64, int8, int32, int64, uint8, uint64
from numpy.typing import NDArray

def variant() -> str: ...
def decoders() -> list[str]: ...
def encoders() -> list[str]: ...
def decode(
    format: str, blocks: NDArray[uint8], weights: NDArray[float32], threads: int
) -> None: ...
def encode(
    format: str,
    weights: NDArray[float32],
    importance: NDArray[float32] | None,
    blocks: NDArray[uint8],
    threads: int,
) -> None: ...
def transcode(
    source: str,
    target: str,
    stored: NDArray[uint8],
    importance: NDArray[float32] | None,
    limit: float,
    columns: int,
    blocks: NDArray[uint8],
    threads: int,
) -> tuple[float, float] | None: ...
def weighted_error(
    weights: NDArray[float32],
    decoded: NDArray[float32] | None,
    importance: NDArray[float32] | None,
    threads: int,
) -> float: ...
def first_beyond(weights: NDArray[float32], limit: float, threads: int) -> int: ...

compare_top: int
compare_block: int

class Comparing:
    def __init__(self, targets: NDArray[int32]) -> None: ...
    def add(
        self, reference: NDArray[float32], quant: NDArray[float32], first: int, threads: int
    ) -> tuple[int, int]: ...
    def finish(
        self, scores: NDArray[float64], ids: NDArray[int32], logp: NDArray[float32]
    ) -> None: ...

class Levels:
    def __init__(self, values: NDArray[float32], consecutive: bool) -> None: ...
    def feed_back(
        self,
        target: NDArray[float32],
        coupling: NDArray[float32],
        scale: NDArray[float32],
        minimum: NDArray[float32] | None,
        weights: NDArray[float32],
        errors: NDArray[float32],
        chosen: NDArray[int32],
    ) -> None: ...
    def descend(
        self,
        target: NDArray[float32],
        coupling: NDArray[float32],
        scale: NDArray[float32],
        minimum: NDArray[float32] | None,
        rounded: NDArray[float32],
        chosen: NDArray[int32],
    ) -> None: ...

class Points:
    def __init__(self, levels: NDArray[float32], points: NDArray[uint8], signs: str) -> None: ...
    def feed_back(
        self,
        target: NDArray[float32],
        coupling: NDArray[float32],
        scale: NDArray[float32],
        minimum: NDArray[float32] | None,
        metric: NDArray[float32],
        bounds: NDArray[float32],
        refinements: int,
        weights: NDArray[float32],
        errors: NDArray[float32],
        points: NDArray[int32],
        signs: NDArray[int32],
    ) -> None: ...
    def descend(
        self,
        target: NDArray[float32],
        coupling: NDArray[float32],
        scale: NDArray[float32],
        minimum: NDArray[float32] | None,
        bounds: NDArray[float32],
        rounded: NDArray[float32],
        points: NDArray[int32],
        signs: NDArray[int32],
    ) -> None: ...

def read_seconds(words: NDArray[uint64], threads: int) -> float: ...
def multiply_adds_per_second(seconds: float, threads: int) -> float: ...
def moments(values: NDArray[float32], threads: int) -> tuple[float, float, int]: ...

class PackedMatrix:
    def __init__(self, format: str, rows: int, columns: int) -> None: ...
    @property
    def format(self) -> str: ...
    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    def set_rows(self, first: int, blocks: NDArray[uint8], threads: int) -> None: ...
    def get_rows(self, rows: NDArray[int64], out: NDArray[float32], threads: int) -> None: ...

def supports_products(format: str) -> bool: ...
def product_shape(matrix: PackedMatrix) -> tuple[int, int, bool]: ...
def trace_fast(
    matrix: PackedMatrix,
    row: int,
    x: NDArray[float32],
    codes: NDArray[uint8],
    dots: NDArray[int32],
    scales: NDArray[float32],
    minimums: NDArray[float32],
    totals: NDArray[float32],
    activation_codes: NDArray[int8],
    activation_scales: NDArray[float32],
    starts: NDArray[int32],
    activation_sums: NDArray[float32],
) -> float: ...
def trace_exact(
    matrix: PackedMatrix,
    row: int,
    x: NDArray[float32],
    weights: NDArray[float32],
    chains: NDArray[float32],
    totals: NDArray[float32],
) -> float: ...
def matmul(
    matrices: Sequence[PackedMatrix],
    x: NDArray[float32],
    outs: Sequence[NDArray[float32]],
    first: int,
    mode: str,
    threads: int,
) -> None: ...

class CacheType:
    f32: CacheType
    f16: CacheType
    q8_0: CacheType
    q4_0: CacheType

class Activation:
    silu: Activation
    gelu: Activation
    relu2: Activation
    clamped_swiglu: Activation

class Linear:
    def __init__(
        self, weights: PackedMatrix, bias: NDArray[float32] | None, scale: float
    ) -> None: ...

class Rotation:
    def __init__(
        self, frequencies: NDArray[float32], interleaved: bool, magnitude: float
    ) -> None: ...

class Gating:
    softmax: Gating
    sigmoid: Gating
    softmax_chosen: Gating

class Routing:
    gating: Gating
    used: int
    groups: int
    used_groups: int
    normalize: bool
    epsilon: float
    scale: float
    weights_inputs: bool

class LayerConfig:
    heads: int
    kv_heads: int
    head_size: int
    value_size: int
    window: int  # positions; 0: all
    scale: float
    softcap: float  # 0: none
    temperature_scale: float
    temperature_length: int
    rope: int  # index into the rotations of `Transformer.run`; -1: none
    normed_values: bool
    shares: bool
    key_type: CacheType
    value_type: CacheType
    key_rotation: int
    value_rotation: int
    gated: bool
    delta_key_heads: int
    delta_value_heads: int
    delta_size: int  # set before attn_qkv
    delta_kernel: int
    delta_tiled: bool
    shortconv_kernel: int
    mamba_heads: int
    mamba_size: int  # set before ssm_conv1d
    mamba_groups: int
    mamba_state_size: int
    mamba_kernel: int
    activation: Activation
    output_scale: float  # of the stream after the layer
    residual_scale: float
    # What follows can only be set. A norm or a matrix that is not set is a step that is skipped.
    attn_norm: NDArray[float32]
    attn_q_norm: NDArray[float32]
    attn_k_norm: NDArray[float32]
    attn_sub_norm: NDArray[float32]
    attn_sinks: NDArray[float32]
    post_attention_norm: NDArray[float32]
    ffn_norm: NDArray[float32]
    ffn_sub_norm: NDArray[float32]
    post_ffw_norm: NDArray[float32]
    inp_gate: Linear
    proj: Linear
    post_norm: NDArray[float32]
    attn_qkv: Linear
    attn_q: Linear
    attn_k: Linear
    attn_v: Linear
    attn_output: Linear
    attn_gate: Linear
    ssm_conv1d: NDArray[float32]  # (kernel · channels)
    ssm_a: NDArray[float32]
    ssm_dt: NDArray[float32]
    ssm_norm: NDArray[float32]
    ssm_alpha: Linear
    ssm_beta: Linear
    ssm_ba: Linear
    ssm_out: Linear
    ssm_conv1d_bias: NDArray[float32]
    ssm_d: NDArray[float32]
    ssm_in: Linear
    shortconv_conv: NDArray[float32]  # (kernel · width)
    shortconv_in_proj: Linear
    shortconv_out_proj: Linear
    ffn_gate: Linear
    ffn_up: Linear
    ffn_down: Linear
    ffn_gate_inp: Linear
    ffn_gate_exps: Sequence[Linear]
    ffn_gate_up_exps: Sequence[Linear]  # of both, instead of the other two
    router_norm: NDArray[float32]  # and the norms of experts beside a dense part
    post_ffw_norm_1: NDArray[float32]
    pre_ffw_norm_2: NDArray[float32]
    post_ffw_norm_2: NDArray[float32]
    ffn_up_exps: Sequence[Linear]
    ffn_down_exps: Sequence[Linear]
    ffn_gate_shexp: Linear
    ffn_up_shexp: Linear
    ffn_down_shexp: Linear
    ffn_gate_inp_shexp: NDArray[float32]
    selection_bias: NDArray[float32]
    routing: Routing

class Transformer:
    def __init__(
        self,
        width: int,
        epsilon: float,
        output_norm: NDArray[float32],
        layers: Sequence[LayerConfig],
    ) -> None: ...
    def run(
        self,
        x: NDArray[float32],
        starts: NDArray[int64],
        rotations: Sequence[Rotation],
        states: list[list[list[NDArray[Any]]]],
        inputs: NDArray[float32],  # flat (layers, rows, size) of layers with inputs, or empty
        mode: str,
        threads: int,
        hook: Callable[[int, str, int, NDArray[float32]], object] | None,
    ) -> None: ...

def histogram(
    values: NDArray[float32], limit: float, counts: NDArray[int64], threads: int
) -> None: ...
def worst_block(
    weights: NDArray[float32],
    decoded: NDArray[float32],
    importance: NDArray[float32] | None,
    block_size: int,
    threads: int,
) -> tuple[int, float]: ...
