"""Traces of a product: its integer sums are exact, and its result is the product bit for bit."""

from fractions import Fraction

import numpy as np
import pytest

from support.kernel_products import ALL, BLOCKS, columns_of, random_activations, random_tensor
from zeropoint import kernels
from zeropoint.formats import F32, FORMATS, Format, QuantizedTensor, find_format
from zeropoint.kernels import FloatTrace, IntegerTrace

ROWS = 37  # two panels and a part of a third


def traced(format: Format, row: int, mode: kernels.Mode = "fast") -> tuple[object, F32, F32]:
    tensor = random_tensor(format, ROWS, columns_of(format))
    x = random_activations(1, columns_of(format), seed=row)
    packed = kernels.pack(tensor)
    weights = kernels.decode(format, tensor.data).reshape(tensor.shape)[row]
    found = kernels.trace_packed(packed, x[0], row, mode)
    # Bit for bit what matmul returns, alone and among others.
    many = np.concatenate([random_activations(6, x.size), x])
    for product in (
        kernels.matmul(packed, x, mode=mode)[0, row],
        kernels.matmul(packed, many, mode=mode, threads=2)[-1, row],
    ):
        assert found.result.view(np.uint32) == product.view(np.uint32)
    assert found.totals[-1].view(np.uint32) == found.result.view(np.uint32)
    return found, weights, x[0]


@BLOCKS
@pytest.mark.parametrize("row", [0, 21, 36])
def test_the_integers_are_those_of_the_codes(format: Format, row: int) -> None:
    found, weights, x = traced(format, row)
    assert isinstance(found, IntegerTrace)
    groups = found.scales.shape[1]
    signed = found.codes.astype(np.int64) - found.zero_point
    # The codes are those that the format stores: they decode to its weights, bit for bit.
    scaled = signed.reshape(-1, groups, 32 // groups) * found.scales.astype(np.float64)[:, :, None]
    if found.minimums is not None:
        scaled = scaled + found.minimums.astype(np.float64)[:, :, None]
    np.testing.assert_array_equal(scaled.reshape(-1).astype(np.float32), weights)
    # Activations: the nearest of 255 codes, the largest of 32 at ±127.
    x = x.reshape(-1, 32)
    peak = np.abs(x).max(axis=1, keepdims=True)
    np.testing.assert_array_equal(found.activation_codes, np.rint(x * (np.float32(127) / peak)))
    np.testing.assert_array_equal(found.activation_scales, peak[:, 0] / np.float32(127))
    # The sums, in plain numpy.
    products = signed * found.activation_codes.astype(np.int64)
    sums = products.reshape(-1, groups, 32 // groups).sum(axis=2)
    np.testing.assert_array_equal(found.dots, sums)
    seen = found.activation_codes.astype(np.int64).reshape(-1, groups, 32 // groups).sum(axis=2)
    np.testing.assert_array_equal(found.starts, -found.zero_point * seen)
    if found.activation_sums is not None:
        shares = found.activation_scales[:, None] * seen.astype(np.float32)
        np.testing.assert_array_equal(found.activation_sums, shares)


@BLOCKS
def test_totals_are_the_scaled_integers_added_up(format: Format) -> None:
    """Every operation again in numbers that do not round, and rounded where the kernel rounds."""
    found, _, _ = traced(format, 3)
    assert isinstance(found, IntegerTrace)
    total = np.float32(0)
    for u in range(8):
        dots = [np.float32(int(d)) for d in found.dots[u]]
        step = found.activation_scales[u]
        if len(dots) == 1:
            total = fused(dots[0], found.scales[u, 0] * step, total)
        else:
            both = fused(dots[1], found.scales[u, 1], dots[0] * found.scales[u, 0])
            total = fused(both, step, total)
        if found.minimums is not None and found.activation_sums is not None:
            for least, seen in zip(found.minimums[u], found.activation_sums[u], strict=True):
                total = fused(least, seen, total)
        assert total == found.totals[u]


def fused(a: np.float32, b: np.float32, c: np.float32) -> np.float32:
    """a · b + c, rounded once; without FMA twice."""
    if kernels.variant() == "baseline":
        return np.float32(a * b + c)
    return rounded(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


def rounded(exact: Fraction) -> np.float32:
    """The nearest float32, the even one of two (rounding to float64 first would round twice)."""
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    distance = [abs(Fraction(float(y)) - exact) for y in around]
    best = [y for y, d in zip(around, distance, strict=True) if d == min(distance)]
    return min(best, key=lambda y: int(y.view(np.uint32)) & 1)


@ALL
def test_products_in_floats_are_chains_of_decoded_weights(format: Format) -> None:
    found, weights, x = traced(format, 20, "exact")
    assert isinstance(found, FloatTrace)
    flat = found.weights.reshape(-1)
    np.testing.assert_array_equal(flat[: weights.size], weights)
    assert not flat[weights.size :].any()
    padded = np.concatenate([x, np.zeros(flat.size - x.size, np.float32)]).reshape(-1, 32)
    for u in range(2):
        chain = found.weights[u, 0] * padded[u, 0]
        for k in range(32):
            if k:
                chain = fused(found.weights[u, k], padded[u, k], chain)
            assert chain == found.chains[u, k]
    np.testing.assert_array_equal(
        np.add.accumulate(found.chains[:, -1], dtype=np.float32), found.totals
    )


@pytest.mark.parametrize("name", ["F32", "F16", "BF16"])
def test_weights_that_are_floats_have_no_integers(name: str) -> None:
    assert isinstance(traced(FORMATS[name], 5, "fast")[0], FloatTrace)


def test_a_format_without_a_kernel_is_traced_as_float32() -> None:
    plain = find_format("INT4_SYM_G64")
    weights = np.random.default_rng(2).standard_normal((2, 128)).astype(np.float32)
    blocks = kernels.encode(plain, weights)
    found = kernels.trace(QuantizedTensor(plain, (2, 128), blocks), weights[0], 1, "fast")
    assert isinstance(found, FloatTrace)
    np.testing.assert_array_equal(
        found.weights.reshape(-1), kernels.decode(plain, blocks).reshape(2, 128)[1]
    )


def test_what_is_not_there_is_an_exception() -> None:
    packed = kernels.pack(random_tensor(FORMATS["Q4_K"], 3, 256))
    x = np.zeros(256, np.float32)
    for mode in ("fast", "exact"):
        with pytest.raises(IndexError, match="row"):
            kernels.trace_packed(packed, x, 3, mode)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="fit"):
            kernels.trace_packed(packed, x[:-1], 0, mode)  # type: ignore[arg-type]
