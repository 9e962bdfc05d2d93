"""Products with blocks: near float64 as their order of sums allows, and always the same bits."""

import numpy as np
import pytest

from support.kernel_products import (
    ALL,
    BLOCKS,
    F64,
    columns_of,
    decoded,
    random_activations,
    random_tensor,
)
from zeropoint import kernels
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS, Format, QuantizedTensor, find_format

ROUNDING = 2.0**-24  # the largest relative error of one operation in float32
MODES = pytest.mark.parametrize("mode", ["exact", "fast"])


@ALL
@pytest.mark.parametrize("rows", [1, 3, 16, 37])
def test_a_packed_matrix_decodes_to_the_bits_of_decode(format: Format, rows: int) -> None:
    columns = columns_of(format)
    rng = np.random.default_rng(rows)
    data = rng.integers(0, 256, (rows * columns // format.block_size, format.block_bytes), np.uint8)
    expected = kernels.decode(format, data).reshape(rows, columns)  # any bytes: NaN equals NaN
    packed = kernels.pack(QuantizedTensor(format, (rows, columns), data), threads=2)
    order = rng.permutation(rows)
    np.testing.assert_array_equal(kernels.unpack_rows(packed, order), expected[order])


@ALL
def test_a_packed_matrix_is_no_larger_than_its_blocks(format: Format) -> None:
    tensor = random_tensor(format, 32, 768)
    grown = 66 / 54 if format.name == "TQ1_0" else 1.0  # base 3 becomes two bits
    assert kernels.pack(tensor).nbytes == round(tensor.nbytes * grown)


@ALL
@pytest.mark.parametrize("count", [1, 4, 33])
def test_exact_is_within_the_rounding_of_its_sums(format: Format, count: int) -> None:
    """Chains of 32 multiply-adds (without FMA a product rounds too), then a sum per 32 columns.

    So each term passes at most 33 + columns / 32 roundings, one more where they end in a part.
    """
    columns = columns_of(format)
    tensor, x = random_tensor(format, 37, columns), random_activations(count, columns)
    weights = decoded(tensor)
    result = kernels.matmul(kernels.pack(tensor), x, mode="exact", threads=2)
    bound = (34 + columns / 32) * ROUNDING * (np.abs(x).astype(np.float64) @ np.abs(weights).T)
    assert np.all(np.abs(result - x.astype(np.float64) @ weights.T) <= bound)


def rounded_activations(x: F32) -> tuple[F64, F64]:
    """Return fast mode's activations (8-bit codes, a scale per 32 columns), and half the scale."""
    groups = x.reshape(len(x), -1, 32)
    peak = np.abs(groups).max(axis=2, keepdims=True)
    codes = np.rint(groups * (np.float32(127) / peak)).astype(np.float64)
    scale = (peak / np.float32(127)).astype(np.float64)
    return (codes * scale).reshape(x.shape), np.broadcast_to(scale / 2, groups.shape).reshape(
        x.shape
    )


def size_of_parts(tensor: QuantizedTensor) -> F64:
    """|scale · code| + |scale · zero point| + |minimum| of each weight: what a fast total sums."""
    parts = tensor.format.parts(tensor.data)
    values = parts.codes if parts.values is None else parts.values
    grouped = np.abs(values.reshape(*parts.scale.shape, -1).astype(np.float64))
    offset = np.zeros((*parts.scale.shape, 1))
    if parts.zero_point is not None:
        offset = offset + np.abs(parts.zero_point[:, :, None])
    size = np.abs(parts.scale.astype(np.float64))[:, :, None] * (grouped + offset)
    if parts.minimum is not None:
        size = size + np.abs(parts.minimum)[:, :, None]
    return np.asarray(size.reshape(tensor.shape), np.float64)


@BLOCKS
@pytest.mark.parametrize("count", [1, 4, 33])
def test_fast_is_the_product_with_rounded_activations(format: Format, count: int) -> None:
    """Integers are exact; what rounds are scales and totals.

    Per 32 columns two groups, their sum and two minimums are added, after at most four roundings.
    """
    columns = columns_of(format)
    tensor, x = random_tensor(format, 37, columns), random_activations(count, columns)
    weights = decoded(tensor)
    result = kernels.matmul(kernels.pack(tensor), x, mode="fast", threads=2)
    rounded, half = rounded_activations(x)
    error = np.abs(result - rounded @ weights.T)
    bound = (4 + 5 * columns / 32) * ROUNDING * (np.abs(rounded) + half) @ size_of_parts(tensor).T
    assert np.all(error <= bound)
    nearness = half * (1 + 2.0**-20) @ np.abs(weights).T + bound
    assert np.all(np.abs(result - x.astype(np.float64) @ weights.T) <= nearness)


@ALL
@MODES
def test_bits_depend_neither_on_threads_nor_on_batch(format: Format, mode: kernels.Mode) -> None:
    columns = columns_of(format)
    packed = kernels.pack(random_tensor(format, 150, columns))
    x = random_activations(1041, columns)
    whole = kernels.matmul(packed, x, mode=mode, threads=1)
    for threads in (2, 3):
        again = kernels.matmul(packed, x, mode=mode, threads=threads)
        np.testing.assert_array_equal(again, whole)
    for first, count in [
        (0, 1),
        (7, 1),
        (1040, 1),
        (3, 2),
        (3, 3),
        (3, 4),
        (5, 7),
        (9, 64),
        (500, 513),
    ]:
        part = kernels.matmul(packed, x[first : first + count], mode=mode, threads=2)
        np.testing.assert_array_equal(part, whole[first : first + count])


@ALL
@MODES
def test_many_products_of_the_same_activations_are_each_what_they_are_alone(
    format: Format, mode: kernels.Mode
) -> None:
    columns = 768
    other = FORMATS["Q6_K"]
    packed = [
        kernels.pack(random_tensor(kind, rows, columns, seed=rows))
        for kind, rows in ((format, 48), (other, 5), (FORMATS["F16"], 33), (format, 7))
    ]
    for count in (1, 40):
        x = random_activations(count, columns)
        together = kernels.matmul_many(packed, x, mode=mode, threads=2)
        for matrix, result in zip(packed, together, strict=True):
            np.testing.assert_array_equal(result, kernels.matmul(matrix, x, mode=mode))


@MODES
@pytest.mark.parametrize(
    ("rows", "columns"), [(1, 576), (3, 640), (17, 896), (49_153, 64), (5, 32), (2, 8960)]
)
def test_odd_shapes(mode: kernels.Mode, rows: int, columns: int) -> None:
    tensor, x = random_tensor(FORMATS["Q4_0"], rows, columns), random_activations(2, columns)
    weights = decoded(tensor)
    result = kernels.matmul(kernels.pack(tensor, threads=2), x, mode=mode, threads=2)
    half = rounded_activations(x)[1] if mode == "fast" else np.zeros(x.shape)
    wide = np.abs(x) + half
    bound = half @ np.abs(weights).T + (34 + columns / 8) * ROUNDING * wide @ np.abs(weights).T * 16
    assert np.all(np.abs(result - x.astype(np.float64) @ weights.T) <= bound)


@MODES
def test_zero_tiny_and_infinite_activations_are_what_they_are(mode: kernels.Mode) -> None:
    packed = kernels.pack(random_tensor(FORMATS["Q4_K"], 16, 256))
    zero = np.zeros((1, 256), np.float32)
    np.testing.assert_array_equal(kernels.matmul(packed, zero, mode=mode), np.zeros((1, 16)))
    tiny = zero + np.float32(1e-44)
    assert np.all(np.abs(kernels.matmul(packed, tiny, mode=mode)) < 1e-30)
    for bad in (np.nan, np.inf):
        poisoned = np.ones((5, 256), np.float32)
        poisoned[2, 17] = bad
        result = kernels.matmul(packed, poisoned, mode=mode)
        assert not np.isfinite(result[2]).any()
        assert np.isfinite(result[[0, 1, 3, 4]]).all()


def test_slabs_pack_as_the_whole_does() -> None:
    tensor = random_tensor(FORMATS["Q5_K"], 100, 512)
    x = random_activations(3, 512)
    rows = tensor.data.reshape(100, -1)
    slabs = (rows[i : i + 32] for i in range(0, 100, 32))
    packed = kernels.pack_slabs(tensor.format, tensor.shape, slabs, threads=2)
    expected = kernels.matmul(kernels.pack(tensor), x)
    np.testing.assert_array_equal(kernels.matmul(packed, x), expected)


def test_a_format_without_a_kernel_is_multiplied_as_float32() -> None:
    plain = find_format("INT4_SYM_G64")
    assert not kernels.has_decoder(plain.name)
    weights = np.random.default_rng(2).standard_normal((20, 128)).astype(np.float32)
    blocks = kernels.encode(plain, weights)
    packed = kernels.pack(QuantizedTensor(plain, (20, 128), blocks))
    assert packed.format == "F32"
    np.testing.assert_array_equal(
        kernels.unpack_rows(packed, np.arange(20)), kernels.decode(plain, blocks).reshape(20, 128)
    )


def test_out_is_written_and_returned() -> None:
    packed = kernels.pack(random_tensor(FORMATS["Q8_0"], 24, 64))
    x = random_activations(2, 64)
    out = np.full((2, 24), np.nan, np.float32)
    assert kernels.matmul(packed, x, out=out) is out
    np.testing.assert_array_equal(out, kernels.matmul(packed, x))
    assert kernels.matmul(packed, x[:0]).shape == (0, 24)


@MODES
def test_some_rows_are_the_bits_they_have_among_all(mode: kernels.Mode) -> None:
    packed = kernels.pack(random_tensor(find_format("Q4_K"), 77, 512))
    for count in (1, 13):
        x = np.random.default_rng(count).normal(size=(count, 512)).astype(np.float32)
        whole = kernels.matmul(packed, x, mode=mode, threads=2)
        for part in (range(0, 16), range(32, 77), range(64, 77), range(16, 30)):
            some = kernels.matmul(packed, x, rows=part, mode=mode, threads=2)
            np.testing.assert_array_equal(some, whole[:, part.start : part.stop])
    for wrong in (range(8, 24), range(64, 80), range(80, 96), range(16, 16)):
        with pytest.raises(ValueError):
            kernels.matmul(packed, x, rows=wrong, mode=mode)


def test_what_does_not_fit_is_an_exception() -> None:
    tensor = random_tensor(FORMATS["Q8_0"], 24, 64)
    packed = kernels.pack(tensor)
    x = random_activations(2, 64)
    with pytest.raises(ValueError, match="columns"):
        kernels.matmul(packed, x[:, :32])
    with pytest.raises(ValueError, match="columns"):
        kernels.matmul(packed, x[0])
    with pytest.raises(ValueError, match="fit"):
        kernels.matmul(packed, x, out=np.empty((2, 23), np.float32))
    with pytest.raises(ValueError, match="fit"):
        kernels.matmul(packed, x, out=np.empty((3, 24), np.float32))
    with pytest.raises(TypeError):  # float64, and not contiguous: written by nobody
        kernels.matmul(packed, x, out=np.empty((2, 24)))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        kernels.matmul(packed, x, out=np.empty((2, 48), np.float32)[:, ::2])
    with pytest.raises(ValueError, match="mode"):
        kernels.matmul(packed, x, mode="quick")  # type: ignore[arg-type]
    for row in (-1, 24, 2**40):
        with pytest.raises(IndexError, match="row"):
            kernels.unpack_rows(packed, np.array([0, row]))
    with pytest.raises(FormatError, match="matrix"):
        kernels.pack(QuantizedTensor(tensor.format, (2, 12, 64), tensor.data))
    with pytest.raises(FormatError, match="24 rows"):
        kernels.pack(QuantizedTensor(tensor.format, (24, 64), tensor.data[:-1]))
    with pytest.raises(FormatError, match="rows"):
        kernels.pack(QuantizedTensor(tensor.format, (26, 64), tensor.data))
