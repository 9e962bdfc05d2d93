"""The JavaScript codecs return the same bits as zeropoint.formats (run in node)."""

import base64
from typing import Any

import numpy as np
import pytest

from support.javascript import run_in_node
from zeropoint.formats import find_format
from zeropoint.formats.floats import FLOAT_TYPES

KINDS = (
    *(f"INT{bits}_{kind}" for bits in range(2, 9) for kind in ("SYM", "ASYM")),
    *("FP8_E4M3", "FP8_E5M2", "FP6_E2M3", "FP6_E3M2", "FP4_E2M1", "FP4_E2M1_M0_5"),
    *("FP4_E2M1_M0_2.5", "FP4_E2M1_M0_-5", "FP4_E2M1_M0_PM5", "NF4"),
)
NAMES = (
    *(f"{kind}_{share}" for kind in KINDS for share in ("G16", "G32", "ROW")),
    *("MXFP8_E4M3", "MXFP8_E5M2", "MXFP6_E2M3", "MXFP6_E3M2", "MXFP4_OCP", "MXINT8"),
    *("NVFP4_TENSOR", "Q8_0", "Q5_0", "Q4_0", "IQ4_NL", "MXFP4", "NVFP4"),
)
SEARCHED = ("MXFP4", "NVFP4", "Q4_0", "Q5_0", "Q8_0", "IQ4_NL")
COLUMNS, ROWS = 64, 160  # 10,240 weights for each format
MODULES = ["codecs/formats.js", "codecs/floats.js"]

QUANTIZE = """(codecs, columns, weights, small, names, searched) => {
  const unpack = (text) => new Float32Array(Uint8Array.from(Buffer.from(text, "base64")).buffer);
  const pack = (list) => Buffer.from(list.buffer).toString("base64");
  return names.map((name) => {
    const values = unpack(searched.includes(name) ? small : weights);
    const format = codecs.findFormat(name), rows = [];
    for (let at = 0; at < values.length; at += columns) {
      rows.push(codecs.quantize(format, values.subarray(at, at + columns)));
    }
    const groups = rows.flatMap((row) => row.groups);
    return { codes: pack(Int32Array.from(rows.flatMap((row) => row.codes))),
      decoded: pack(Float32Array.from(rows.flatMap((row) => [...row.decoded]))),
      scales: pack(Float32Array.from(groups, (g) => Math.abs(g.scale))),
      zeros: pack(Int32Array.from(groups, (g) => g.zeroPoint ?? 0)),
      bytes: pack(Int32Array.from(rows, (row) => row.bytes)) };
  });
}"""


def make_weights() -> np.ndarray:
    """Rows of all sizes: bells, outliers, one-sided, zeros, ties, subnormal, huge."""
    rng = np.random.default_rng(5)
    rows = (rng.standard_normal((ROWS, COLUMNS)) * 0.05).astype(np.float32)
    rows[::3] *= 2.0 ** rng.integers(-40, 40, (len(rows[::3]), 1)).astype(np.float32)
    rows[np.arange(0, ROWS, 5), rng.integers(0, COLUMNS, len(rows[::5]))] *= 50
    rows[::7] = np.abs(rows[::7])
    rows[::11, :32] = 0
    rows[1] = 0
    rows[2] = -0.0
    rows[3] = np.round(rows[3] * 64) / 64
    rows[4] *= np.float32(1e-38)
    rows[6] *= np.float32(3e37)
    return rows


WEIGHTS = make_weights()
SMALL_WEIGHTS = WEIGHTS[np.abs(WEIGHTS).max(axis=1) < 2.0**100]


def packed(weights: np.ndarray) -> str:
    return base64.b64encode(weights.tobytes()).decode()


@pytest.fixture(scope="module")
def quantized() -> dict[str, dict[str, np.ndarray]]:
    """Return the weights that JavaScript decodes in every format, in one process."""
    rows = run_in_node(
        MODULES, QUANTIZE, COLUMNS, packed(WEIGHTS), packed(SMALL_WEIGHTS), NAMES, SEARCHED
    )
    return {
        name: {key: np.frombuffer(base64.b64decode(text), "<i4") for key, text in row.items()}
        for name, row in zip(NAMES, rows, strict=True)
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_page_quantizes_as_python_does(
    name: str, quantized: dict[str, dict[str, np.ndarray]]
) -> None:
    weights = SMALL_WEIGHTS if name in SEARCHED else WEIGHTS
    found = quantized[name]
    format = find_format(name).for_shape((COLUMNS,))
    blocks = format.encode_blocks(weights.reshape(-1, format.block_size))
    parts = format.parts(blocks)
    np.testing.assert_array_equal(found["codes"], parts.codes.reshape(-1))
    scales = np.abs(parts.scale).reshape(-1)
    np.testing.assert_array_equal(found["scales"], scales.view(np.int32))
    if parts.zero_point is not None:
        np.testing.assert_array_equal(found["zeros"], parts.zero_point.reshape(-1))
    decoded = found["decoded"].view(np.float32)
    np.testing.assert_array_equal(decoded, parts.weights().reshape(-1))
    assert set(found["bytes"]) == {blocks.size // len(weights)}


@pytest.mark.parametrize("type", FLOAT_TYPES.values(), ids=lambda t: t.name)
def test_every_code_means_the_same_number(type: Any) -> None:
    rng = np.random.default_rng(1)
    every = np.arange(2**type.bits) if type.bits <= 16 else rng.integers(0, 2**32, 10_000)
    text, again = run_in_node(
        MODULES,
        """(codecs, name, codes) => {
            const type = codecs.FLOATS[name];
            const values = Float64Array.from(codes, (code) => codecs.decodeFloat(type, code));
            const good = codes.every((code, i) => !Number.isFinite(values[i])
                || codecs.encodeFloat(type, values[i]) === code);
            return [Buffer.from(values.buffer).toString("base64"), good];
        }""",
        type.name,
        every.tolist(),
    )
    values, theirs = np.frombuffer(base64.b64decode(text)), type.decode(every)
    np.testing.assert_array_equal(values, theirs)
    number = ~np.isnan(theirs)
    np.testing.assert_array_equal(np.signbit(values)[number], np.signbit(theirs)[number])
    assert again  # encoding what a code means gives the code


@pytest.mark.parametrize("type", FLOAT_TYPES.values(), ids=lambda t: t.name)
def test_rounding_to_a_code_is_the_same(type: Any) -> None:
    rng = np.random.default_rng(2)
    values = rng.standard_normal(10_000) * 2.0 ** rng.integers(-40, 20, 10_000)
    some = type.decode(rng.integers(0, type.max_code, 2000))
    ties = (some[1:] + some[:-1]) / 2  # among them exact ties
    values = np.concatenate([values, some, ties, [0.0, -0.0, type.max, 1e300, -1e300]])
    found = run_in_node(
        MODULES,
        "(codecs, name, values) => values.map((x) => codecs.encodeFloat(codecs.FLOATS[name], x))",
        type.name,
        values.tolist(),
    )
    assert found == type.encode(values).tolist()


def test_counting_codes_is_exact() -> None:
    e4m3 = FLOAT_TYPES["FP8_E4M3"]
    values = np.unique(e4m3.decode(np.arange(256))[np.isfinite(e4m3.decode(np.arange(256)))])
    ranges = [(-1.0, 1.0), (0.1, 0.9), (-3.3, -0.25), (0.0, 448.0), (-500.0, 500.0)]
    half, one, counts = run_in_node(
        MODULES,
        """(codecs, ranges) => {
            const { F32, FP8_E4M3 } = codecs.FLOATS;
            return [codecs.codesWithin(F32, 0.5), codecs.codesWithin(F32, 1),
                ranges.map(([low, high]) => codecs.countBetween(FP8_E4M3, low, high))];
        }""",
        ranges,
    )
    assert half == 2_113_929_216
    assert one == 2 * 127 * 2**23
    assert counts == [int(((values >= low) & (values < high)).sum()) for low, high in ranges]
