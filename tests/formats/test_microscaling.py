"""MX and NVFP4 against the words of their standards, weight by weight in plain Python."""

import math

import ml_dtypes
import numpy as np
import pytest

from zeropoint.formats import F32, find_format
from zeropoint.formats.microscaling import decode_e8m0, encode_e8m0

ELEMENTS = {
    "MXFP8_E4M3": (ml_dtypes.float8_e4m3fn, 8),
    "MXFP8_E5M2": (ml_dtypes.float8_e5m2, 15),
    "MXFP6_E2M3": (ml_dtypes.float6_e2m3fn, 2),
    "MXFP6_E3M2": (ml_dtypes.float6_e3m2fn, 4),
    "MXFP4_OCP": (ml_dtypes.float4_e2m1fn, 2),
}


def weights_of_all_sizes(columns: int) -> F32:
    rng = np.random.default_rng(11)
    sizes = np.exp2(rng.integers(-40, 40, (200, 1)))
    return (rng.standard_t(3, size=(200, columns)) * sizes).astype(np.float32)


@pytest.mark.parametrize("name", ELEMENTS)
def test_mx_floats_follow_the_standard(name: str) -> None:
    """OCP MX 1.0, 6.3: X = 2^(floor(log2(max |w|)) − emax), P = w / X rounded, saturating."""
    element, largest_exponent = ELEMENTS[name]
    largest = float(ml_dtypes.finfo(element).max)
    weights = weights_of_all_sizes(32)
    decoded = find_format(name).decode_blocks(find_format(name).encode_blocks(weights))
    for block, ours in zip(weights, decoded, strict=True):
        exponent = math.frexp(float(np.abs(block).max()))[1] - 1 - largest_exponent
        ratio = np.clip(np.ldexp(block, -exponent), -largest, largest)
        theirs = np.ldexp(ratio.astype(element).astype(np.float32), exponent)
        np.testing.assert_array_equal(ours, theirs)


def test_mxint8_follows_the_standard() -> None:
    """The element is a two's complement byte with an implied scale of 2^-6; −128 stays unused."""
    format = find_format("MXINT8")
    weights = weights_of_all_sizes(32)
    parts = format.parts(format.encode_blocks(weights))
    assert parts.codes.min() == -127 and parts.codes.max() == 127
    for block, codes, ours in zip(weights, parts.codes, parts.weights(), strict=True):
        scale = 2.0 ** (math.frexp(float(np.abs(block).max()))[1] - 1)
        theirs = [min(max(round(float(w) / scale * 64), -127), 127) for w in block]
        assert codes.tolist() == theirs
        assert ours.tolist() == [code / 64 * scale for code in theirs]


def test_mx_blocks_are_a_byte_of_scale_and_packed_codes() -> None:
    for name, size in (("MXFP8_E4M3", 33), ("MXFP6_E2M3", 25), ("MXFP4_OCP", 17), ("MXINT8", 33)):
        assert find_format(name).block_bytes == size
    weights = np.zeros((1, 32), np.float32)
    weights[0, :3] = [6.0, -0.5, 1.5]
    block = find_format("MXFP4_OCP").encode_blocks(weights)[0]
    assert block[:3].tolist() == [127, 0x97, 0x03]  # scale 2^0; codes 7, 9 and 3, low half first


@pytest.mark.parametrize("name", [*ELEMENTS, "MXINT8"])
def test_a_block_of_zeros_is_bytes_of_zero(name: str) -> None:
    """Its scale is the smallest there is; any would do, and this one is easy to see."""
    assert not find_format(name).encode_blocks(np.zeros((2, 32), np.float32)).any()


def test_e8m0_saturates_at_its_ends() -> None:
    assert decode_e8m0(encode_e8m0(np.array([-200, -127, 0, 127, 200]))).tolist() == [
        *(2.0**-127, 2.0**-127, 1.0, 2.0**127, 2.0**127)
    ]


def test_mxfp4_has_the_values_of_ggmls_mxfp4() -> None:
    """Same scales, same values, another order of the nibbles; ties may differ, so none here."""
    gguf = pytest.importorskip("gguf")
    weights = np.random.default_rng(2).normal(size=(500, 32)).astype(np.float32)
    theirs = gguf.quants.dequantize(
        gguf.quants.quantize(weights, gguf.GGMLQuantizationType.MXFP4),
        gguf.GGMLQuantizationType.MXFP4,
    )
    format = find_format("MXFP4_OCP")
    np.testing.assert_array_equal(format.decode_blocks(format.encode_blocks(weights)), theirs)


def test_nvfp4_has_two_levels_of_scales() -> None:
    """Weight by weight: E2M1 times E4M3 times float32."""
    rng = np.random.default_rng(4)
    weights = (rng.normal(size=(8, 64)) * np.exp2(rng.integers(-3, 3, (8, 1)))).astype(np.float32)
    format = find_format("NVFP4_TENSOR").for_shape(weights.shape)
    block = format.encode_blocks(weights.reshape(1, -1))
    assert block.shape == (1, 4 + 8 * 64 // 16 * 9)
    tensor_scale = np.float32(np.abs(weights).max() / 2688)
    assert block[0, :4].view("<f4")[0] == tensor_scale
    groups = block[0, 4:].reshape(-1, 9)
    ratio = (weights / tensor_scale).reshape(-1, 16)
    scales = (np.abs(ratio).max(axis=1) / 6).astype(ml_dtypes.float8_e4m3fn)
    np.testing.assert_array_equal(groups[:, 0], scales.view(np.uint8))
    scales = scales.astype(np.float32)
    values = np.clip(ratio / scales[:, None], -6, 6).astype(ml_dtypes.float4_e2m1fn)
    codes = values.view(np.uint8)
    np.testing.assert_array_equal(groups[:, 1:], codes[:, ::2] | codes[:, 1::2] << 4)
    expected = (tensor_scale * scales)[:, None] * values.astype(np.float32)
    np.testing.assert_array_equal(format.decode_blocks(block).reshape(-1, 16), expected)


def test_nvfp4_keeps_a_group_far_below_the_rest() -> None:
    """A scale that E4M3 would round to 0 becomes its smallest: small weights are not lost."""
    weights = np.full((1, 32), 1e-3, np.float32)
    weights[0, :16] = 2000
    format = find_format("NVFP4_TENSOR").for_shape(weights.shape)
    decoded = format.decode_blocks(format.encode_blocks(weights))
    # tensor scale 2000 / 2688, smallest group scale 2^-9: half a step of 0.5 is the bound
    assert np.abs(decoded - weights)[0, 16:].max() <= 2000 / 2688 * 2**-9 * 0.25
