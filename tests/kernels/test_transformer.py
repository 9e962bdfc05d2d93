"""The compiled forward pass refuses parts that do not fit each other, and has no free-form keys."""

from typing import Any

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.formats import FORMATS, QuantizedTensor

WIDTH, HEADS, SIZE, INNER = 32, 2, 16, 64


def linear(rows: int, columns: int, bias: int = 0) -> Any:
    data = np.zeros((rows * columns, 4), np.uint8)
    packed = kernels.pack(QuantizedTensor(FORMATS["F32"], (rows, columns), data))
    return kernels.make_linear(packed, np.zeros(bias, np.float32) if bias else None, 1.0)


def layer(**changes: Any) -> Any:
    config = kernels.make_layer("silu")
    config.heads = config.kv_heads = HEADS
    config.head_size = config.value_size = SIZE
    parts = {
        "attn_norm": np.ones(WIDTH, np.float32),
        "ffn_norm": np.ones(WIDTH, np.float32),
        "attn_q": linear(HEADS * SIZE, WIDTH),
        "attn_k": linear(HEADS * SIZE, WIDTH),
        "attn_v": linear(HEADS * SIZE, WIDTH),
        "attn_output": linear(WIDTH, HEADS * SIZE),
        "ffn_gate": linear(INNER, WIDTH),
        "ffn_up": linear(INNER, WIDTH),
        "ffn_down": linear(WIDTH, INNER),
    }
    for name, value in (parts | changes).items():
        setattr(config, name, value)
    return config


def make(config: Any, width: int = WIDTH) -> Any:
    return kernels.make_transformer(width, 1e-5, np.ones(width, np.float32), [config])


def test_parts_that_fit_are_taken() -> None:
    make(layer())
    make(layer(**experts()))


def unfit() -> list[tuple[str, dict[str, Any]]]:
    """Return parts that do not fit, after the word that the error has."""
    return [
        ("heads", {"kv_heads": 3}),
        ("norms", {"attn_norm": np.ones(WIDTH + 1, np.float32)}),
        ("attn_q_norm", {"attn_q_norm": np.ones(HEADS * SIZE + 1, np.float32)}),
        ("attn_k_norm", {"attn_k_norm": np.ones(SIZE - 1, np.float32)}),
        ("attn_sinks", {"attn_sinks": np.ones(HEADS + 1, np.float32)}),
        ("post_ffw_norm", {"post_ffw_norm": np.ones(SIZE, np.float32)}),
        ("ffn_sub_norm", {"ffn_sub_norm": np.ones(WIDTH, np.float32)}),
        ("attn_v", {"attn_v": linear(SIZE, WIDTH)}),
        ("bias", {"attn_q": linear(HEADS * SIZE, WIDTH, bias=3)}),
        ("ffn_up", {"ffn_up": linear(WIDTH, WIDTH)}),
        ("ffn_gate_inp", experts() | {"ffn_gate_inp": linear(3, WIDTH)}),
        ("experts used", experts(used=5)),
        ("experts used", experts(used=0)),
        ("groups of experts", experts(groups=3)),
        ("groups used", experts(groups=2, used_groups=3)),
        ("groups of one", experts(groups=4)),
        ("experts of the groups", experts(used=3, groups=2)),
        ("exp_probs_b", experts() | {"selection_bias": np.ones(3, np.float32)}),
        ("ffn_up", experts() | {"ffn_down_shexp": linear(WIDTH, INNER)}),
        ("ffn_gate_inp_shexp", experts() | {"ffn_gate_inp_shexp": np.ones(3, np.float32)}),
    ]


def experts(used: int = 2, **settings: Any) -> dict[str, Any]:
    """The parts of a mixture of four experts."""
    return {
        "ffn_gate_inp": linear(4, WIDTH),
        "ffn_gate_exps": [linear(INNER, WIDTH)] * 4,
        "ffn_up_exps": [linear(INNER, WIDTH)] * 4,
        "ffn_down_exps": [linear(WIDTH, INNER)] * 4,
        "routing": kernels.make_routing("softmax", used=used, **settings),
    }


def test_parts_that_do_not_fit_are_refused() -> None:
    for word, changes in unfit():
        with pytest.raises(ValueError, match=word):
            make(layer(**changes))


def test_a_property_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(AttributeError):
        layer(attn_norms=np.ones(WIDTH, np.float32))
    with pytest.raises(AttributeError):
        kernels.make_layer("swiglu")


def test_the_layer_keeps_its_arrays_alive() -> None:
    """The pass reads memory that nobody else refers to any more."""
    transformer = make(layer())
    x = np.ones((1, 1, WIDTH), np.float32)
    keys = np.zeros((1, HEADS, 1, SIZE, 16), np.float32)
    values = np.zeros((1, HEADS, 16, 32), np.float32)
    transformer.run(
        x, np.zeros(1, np.int64), [], [[[keys, values]]], np.empty(0, np.float32), "exact", 1, None
    )
    np.testing.assert_allclose(x, 1.0, rtol=1e-4)  # all products are 0: only the output norm acts
