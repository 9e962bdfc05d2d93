"""Writes formats.md from the formats: python docs/formats_page.py (a test compares)."""

import random
from collections.abc import Iterable
from pathlib import Path
from statistics import NormalDist

import numpy as np

from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS, find_format, names
from zeropoint.formats.describe import describe
from zeropoint.formats.floats import FLOAT_TYPES, FloatType

HERE = Path(__file__).resolve().parent
SHAPE = (4, 4096)  # of the Gaussian weights, and of the tensor that sizes rows and tensors

INTRODUCTION = """# Formats

<!-- Made by docs/formats_page.py; a test compares. -->

A format defines how some weights of a row are stored in some bytes. `zeropoint explain NAME` shows
any format, and `zeropoint explain --block=NUMBERS --format NAME` what it does to your numbers.

    w = scale · (q − zero_point)      or      w = scale · q + minimum

`q` are the codes. A **block** is the smallest part of a row that decodes alone. The weights of a
**group** share a scale. **Bits per weight** are 8 · bytes / weights of a block, scales
included. **Error** is √(Σ(w − ŵ)² / Σw²) for a tensor of {rows} rows of {columns} Gaussian weights.
Real weights have heavier tails, so the errors of your model will differ.

## Storage formats of GGUF

All of them can be decoded, with results identical to those of ggml bit for bit. A dash in the
column Error means that zeropoint has no encoder, or that the format stores no weights. Encoders
search the scale, minimum and codes with the lowest error, weighted by the importance if there is
one.

"""

PLAIN = """
## Plain formats

Plain formats are textbook quantization in numpy, for learning and for studying what a format does
to a model. No file stores them. Their names are composed:

{grammar}

- **Scale**: float16 for a group, where its size matters, and float32 for a row or a tensor. It is
  rounded before codes are chosen. A scale that would round to 0 becomes the smallest positive one.
- **Zero point**: one byte, with the value of a code. The range of asymmetric integers always
  includes 0, and 0 is stored exactly.
- **Rounding**: to the nearest value, ties to even (NF4: to the lower value). Numbers beyond the
  range get the largest value.
- **`_SEARCH`**: the bytes have the same meaning. The scale is the best of {tries} around the
  textbook scale (of four exponents in MX formats) by Σ importance · (w − ŵ)². Without the suffix,
  importance affects only the choice of a value for −0.
- **−0** (`M0`): code 8 of FP4 E2M1 has the value in the name, in units of the scale. With `PM` it
  is that value or its negative, whichever has the lower error in the block; the sign bit of the
  scale, otherwise unused, stores the choice. With `M0_BEST` it is one of ±2.5, ±3.5, ±5, ±7, ±8,
  ±10 and ±12, stored in one byte per block in eighths. A weight gets code 8 where that value is
  nearest.
- **`MXFP4_OCP`** has the values and scales of ggml's `MXFP4`, with codes in ascending order, OCP's
  rule for the scale, and NaN if the scale is 255. **`NVFP4_TENSOR`** is NVIDIA's NVFP4 with a
  float32 scale of the tensor, which ggml's `NVFP4` does not have.
- **Edge cases**: zeros are stored as zeros. Weights beyond 2^126 are stored as 2^126, and weights
  beyond the range of the largest scale as its largest value. A weight that is not finite and a
  negative importance are errors that name the index. No encoded bytes decode to NaN or infinity.

The bits per weight of `ROW` and `TENSOR` depend on the shape, and hold for the tensor above.

"""

FLOATS = """
## Floating-point types

Values are ±2^(e − bias) · (1 + m / 2^mantissa), and below the smallest normal number
±2^(1 − bias) · m / 2^mantissa. Encoding rounds to nearest even and saturates. A cast in torch or
ml_dtypes gives NaN (E4M3) or infinity (E5M2) for numbers beyond the largest.

"""


def gaussian() -> F32:
    """Return Gaussian weights that are the same on every machine."""
    source, normal = random.Random(2026), NormalDist()
    draws = [normal.inv_cdf(source.random()) for _ in range(SHAPE[0] * SHAPE[1])]
    return np.array(draws, np.float32).reshape(SHAPE)


def error(name: str, weights: F32) -> str:
    """Return the relative error of a format in per cent, or a dash if it has no encoder."""
    format = find_format(name).for_shape(weights.shape)
    try:
        blocks = format.encode_blocks(weights.reshape(-1, format.block_size))
    except FormatError:
        return "–"
    decoded = format.decode_blocks(blocks).reshape(weights.shape).astype(np.float64)
    share = np.sum((decoded - weights) ** 2) / np.sum(weights.astype(np.float64) ** 2)
    return f"{100 * share**0.5:.2g} %" if share else "0"


def table(columns: str, rows: Iterable[Iterable[object]]) -> str:
    """Return a table in Markdown; a column that begins with ">" is right-aligned."""
    heads = columns.split(" | ")
    rules = ["--:" if head.startswith(">") else "---" for head in heads]
    lines = [" | ".join(head.removeprefix(">") for head in heads), " | ".join(rules)]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {line} |" for line in [*lines, *map(" | ".join, cells)]) + "\n"


def storage_row(name: str, weights: F32) -> list[object]:
    """Return the row of a storage format."""
    about = describe(FORMATS[name])
    size = [about.block_size, about.block_bytes, about.group_size, f"{about.bits_per_weight:g}"]
    return [about.name, about.ggml_type, *size, error(name, weights), about.equation]


def plain_row(name: str, weights: F32) -> list[object]:
    """Return the row of a plain format."""
    format = find_format(name).for_shape(weights.shape)
    about = describe(find_format(name))
    block = about.block_size or {"NVFP4_TENSOR": "tensor"}.get(name, name.rsplit("_", 1)[1].lower())
    size = [block, format.block_bytes if about.block_bytes else "", f"{format.bits_per_weight:.4g}"]
    return [f"`{name}`", *size, error(name, weights), about.scale_rule, about.equation]


def float_row(type: FloatType) -> list[object]:
    """Return the row of a floating-point type."""
    special = {"none": "none", "nan": "NaN", "ieee": "NaN, infinity"}[type.specials]
    sizes = [type.max, type.smallest_normal, type.smallest, type.step_at_one]
    fields = [type.bits, type.exponent_bits, type.mantissa_bits, type.bias]
    return [type.name, *fields, *(f"{size:.6g}" for size in sizes), special]


def render() -> str:
    """Return the whole page."""
    weights = gaussian()
    storage = table(
        "Name | >Number | >Block | >Bytes | >Group | >Bits per weight | >Error | Weight",
        (storage_row(name, weights) for name in FORMATS),
    )
    plain = table(
        "Name | >Block | >Bytes | >Bits per weight | >Error | Scale | Weight",
        (plain_row(name, weights) for name in names.plain_examples()),
    )
    floats = table(
        "Type | >Bits | >Exponent | >Mantissa | >Bias | >Largest | >Smallest normal | >Smallest"
        " | >Step at 1 | Special values",
        map(float_row, FLOAT_TYPES.values()),
    )
    grammar = (names.__doc__ or "").split("\n\n")
    composition = "\n\n".join(grammar[1:]).strip()
    page = INTRODUCTION.format(rows=SHAPE[0], columns=SHAPE[1]) + storage
    page += PLAIN.format(grammar=composition, tries=tries()) + plain
    return page + FLOATS + floats


def tries() -> int:
    """Return the number of scales that a search tries."""
    format = find_format("INT4_SYM_G32_SEARCH")
    return len({1.0, *format.shrinks}) + len(format.finer)


if __name__ == "__main__":
    (HERE / "formats.md").write_text(render())
