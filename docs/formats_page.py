"""Write `formats.md` from the formats themselves: python docs/formats_page.py (a test compares)."""

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

A format says how some weights of a row are stored in some bytes. `zeropoint explain NAME` shows any
of them, `zeropoint explain --block=NUMBERS --format NAME` what it does to numbers of yours.

    w = scale · (q − zero_point)      or      w = scale · q + minimum

`q` are the codes. A **block** is the smallest part of a row that decodes alone, a **group** the
weights that share a scale. **Bits per weight** are 8 · bytes / weights of a block, everything
included. **Error** is √(Σ(w − ŵ)² / Σw²) for Gaussian weights, a tensor of {rows} rows of
{columns}; real weights have heavier tails, so compare on yours.

## Storage formats of GGUF

Every one can be read, bit for bit as ggml reads it. A dash under Error: it cannot be written here,
or not with weights. Encoders search scale, minimum and codes for the least error, weighted by the
importance if there is one.

"""

PLAIN = """
## Plain formats

They are quantization as the textbooks have it, in numpy, to learn from and to judge a model in; no
file format here stores them. Their names are put together:

{grammar}

- **Scale**: float16 for a group, where its bytes count; float32 for a row or a tensor. It is
  rounded to that before codes are chosen. One that would round to 0 becomes the smallest positive.
- **Zero point**: one byte, one of the codes. The range of asymmetric integers always includes 0,
  and 0 is stored exactly.
- **Rounding**: to the nearest, ties to even (NF4: to the lower value), and beyond the range to the
  largest value.
- **`_SEARCH`**: the same bytes; the scale is the best of {tries} around the textbook's (of four
  exponents in MX formats) by Σ importance · (w − ŵ)². Without the suffix importance changes
  nothing, save for which value a chosen −0 takes.
- **−0** (`M0`): code 8 of FP4 E2M1 means the value in the name, in units of the scale. With `PM`
  it is that value or its negative, chosen for each block by its error: the sign bit of the scale,
  idle otherwise, says which. With `M0_BEST` it is one of ±2.5, 3.5, 5, 7, 8, 10, 12, stored in one
  byte per block, in eighths. A weight takes code 8 where that is nearer.
- **`MXFP4_OCP`** has the values and scales of ggml's `MXFP4`, the codes in order, OCP's rule for
  the scale, and NaN where the scale is 255. **`NVFP4_TENSOR`** is NVIDIA's NVFP4 with its float32
  scale of the tensor, which ggml's `NVFP4` block lacks.
- **Odd blocks**: all zeros are stored as zeros. Weights beyond 2^126 are stored as 2^126, and those
  beyond the range of the largest scale as its largest value. What is not finite is an error with
  its index, and so is a negative importance. No bytes that are written decode to NaN or infinity.

Bits per weight of `ROW` and `TENSOR` are for the tensor above.

"""

FLOATS = """
## Floating-point types

Values are ±2^(e − bias) · (1 + m / 2^mantissa), and below the smallest normal ±2^(1 − bias) · m /
2^mantissa. Encoding rounds to nearest even and saturates; a cast in torch or ml_dtypes makes NaN
(E4M3) or infinity (E5M2) of what lies beyond the largest.

"""


def gaussian() -> F32:
    """The same weights on every machine."""
    source, normal = random.Random(2026), NormalDist()
    draws = [normal.inv_cdf(source.random()) for _ in range(SHAPE[0] * SHAPE[1])]
    return np.array(draws, np.float32).reshape(SHAPE)


def error(name: str, weights: F32) -> str:
    """The relative error of a format, in per cent, or a dash where it cannot be encoded."""
    format = find_format(name).for_shape(weights.shape)
    try:
        blocks = format.encode_blocks(weights.reshape(-1, format.block_size))
    except FormatError:
        return "–"
    decoded = format.decode_blocks(blocks).reshape(weights.shape).astype(np.float64)
    share = np.sum((decoded - weights) ** 2) / np.sum(weights.astype(np.float64) ** 2)
    return f"{100 * share**0.5:.2g} %" if share else "0"


def table(columns: str, rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown; a column that begins with ">" is set right."""
    heads = columns.split(" | ")
    rules = ["--:" if head.startswith(">") else "---" for head in heads]
    lines = [" | ".join(head.removeprefix(">") for head in heads), " | ".join(rules)]
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {line} |" for line in [*lines, *map(" | ".join, cells)]) + "\n"


def storage_row(name: str, weights: F32) -> list[object]:
    """One storage format."""
    about = describe(FORMATS[name])
    size = [about.block_size, about.block_bytes, about.group_size, f"{about.bits_per_weight:g}"]
    return [about.name, about.ggml_type, *size, error(name, weights), about.equation]


def plain_row(name: str, weights: F32) -> list[object]:
    """One plain format."""
    format = find_format(name).for_shape(weights.shape)
    about = describe(find_format(name))
    block = about.block_size or {"NVFP4_TENSOR": "tensor"}.get(name, name.rsplit("_", 1)[1].lower())
    size = [block, format.block_bytes if about.block_bytes else "", f"{format.bits_per_weight:.4g}"]
    return [f"`{name}`", *size, error(name, weights), about.scale_rule, about.equation]


def float_row(type: FloatType) -> list[object]:
    """One floating-point type."""
    special = {"none": "none", "nan": "NaN", "ieee": "NaN, infinity"}[type.specials]
    sizes = [type.max, type.smallest_normal, type.smallest, type.step_at_one]
    fields = [type.bits, type.exponent_bits, type.mantissa_bits, type.bias]
    return [type.name, *fields, *(f"{size:.6g}" for size in sizes), special]


def render() -> str:
    """The whole page."""
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
    told = "\n\n".join(grammar[1:]).strip()
    page = INTRODUCTION.format(rows=SHAPE[0], columns=SHAPE[1]) + storage
    page += PLAIN.format(grammar=told, tries=tries()) + plain
    return page + FLOATS + floats


def tries() -> int:
    """How many scales a search looks at."""
    format = find_format("INT4_SYM_G32_SEARCH")
    return len({1.0, *format.shrinks}) + len(format.finer)


if __name__ == "__main__":
    (HERE / "formats.md").write_text(render())
