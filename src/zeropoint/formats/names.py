"""The names of the plain formats: INT4_SYM_G128, FP8_E4M3_ROW, FP4_E2M1_M0_2.5_G32, ...

| Name | Codes |
|---|---|
| `INT<2…8>_SYM_<share>` | signed integers, scale |
| `INT<2…8>_ASYM_<share>` | signed integers, scale and zero point |
| `FP8_E4M3_<share>` `FP8_E5M2_` `FP6_E2M3_` `FP6_E3M2_` `FP4_E2M1_` | small floats, scale |
| `FP4_E2M1_M0_<value>_<share>` | FP4 whose −0 means value · scale: `2.5`, `5`, `-5`, ... |
| `FP4_E2M1_M0_PM<value>_<share>` | FP4 whose −0 means ±value · scale, chosen for each block |
| `FP4_E2M1_M0_BEST_<share>` | FP4 whose −0 means the best of 14 values, chosen for each block |
| `NF4_<share>` | sixteen quantiles of a normal distribution, scale |
| `MXFP8_E4M3` `MXFP8_E5M2` `MXFP6_E2M3` `MXFP6_E3M2` `MXFP4_OCP` `MXINT8` | OCP microscaling |
| `NVFP4_TENSOR` | NVFP4 with a scale of the tensor |

`<share>` is the set of weights that share a scale: `G<n>` (groups of n consecutive weights, for any
n), `ROW` or `TENSOR`. With the suffix `_SEARCH` the bytes have the same meaning, and the encoder
searches the scale with the lowest error.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from zeropoint.formats.base import Format
from zeropoint.formats.floats import SMALL_FLOATS, FloatType, ScaledFloats
from zeropoint.formats.group_formats import ScaledFormat
from zeropoint.formats.integers import AsymmetricIntegers, SymmetricIntegers
from zeropoint.formats.microscaling import (
    MX_GROUP,
    NVFP4_GROUP,
    MXFloats,
    MXIntegers,
    NVFP4Groups,
    NVFP4Tensor,
)
from zeropoint.formats.tables import (
    BestSecondZero,
    FixedSecondZero,
    NormalFloats,
    SignedSecondZero,
)

S = TypeVar("S", bound=ScaledFormat)

SEARCH = "_SEARCH"
SHARES = ("G32", "ROW", "TENSOR")  # as examples; G takes any number

_INTEGER = re.compile(r"INT([2-8])_(SYM|ASYM)")
_SECOND_ZERO = re.compile(r"FP4_E2M1_M0_(BEST|(?:PM|-)?[0-9]{1,2}(?:\.[0-9]{1,3})?)")
_SHARE = re.compile(r"(.+)_(G[1-9][0-9]{0,8}|ROW|TENSOR)")
_MX_FLOATS = {
    **{f"MX{name}": element for name, element in SMALL_FLOATS.items() if name != "FP4_E2M1"},
    "MXFP4_OCP": SMALL_FLOATS["FP4_E2M1"],
}


def plain_format(name: str) -> Format | None:
    """Return the plain format of this name, or None if the grammar above has no such name."""
    core, search = name.removesuffix(SEARCH), name.endswith(SEARCH)
    if core in _MX_FLOATS:
        return _mx(MXFloats, name, search, _MX_FLOATS[core].bits, element=_MX_FLOATS[core])
    if core == "MXINT8":
        return _mx(MXIntegers, name, search, 8)
    if core == "NVFP4_TENSOR":
        return _nvfp4(name, search)
    match = _SHARE.fullmatch(core)
    return _shared(name, match[1], match[2], search) if match else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return what would work instead of an unknown name: similar names, or examples.

    >>> suggestion("q8", ["Q8_0", "Q4_0"])
    'similar names: Q8_0'
    """
    upper = name.upper()
    for core in (upper, upper.removesuffix(SEARCH)):
        if plain_format(f"{core}_ROW"):
            works = ", ".join(f"{core}_{share}" for share in SHARES)
            return f"add which weights share a scale: {works}, or any other group size"
        if plain_format(f"{core}_SYM_ROW"):
            works = ", ".join(f"{core}_{rule}_G32" for rule in ("SYM", "ASYM"))
            return f"add the rule and which weights share a scale, such as {works}"
    names = dict.fromkeys(known)
    if similar := get_close_matches(upper, names, n=4, cutoff=0.5):
        return f"similar names: {', '.join(similar)}"
    return (
        f"formats of files are {', '.join(names)}; other formats are, for example,"
        " INT4_SYM_G128, INT4_ASYM_ROW, FP8_E4M3_TENSOR, FP4_E2M1_M0_2.5_G32, NF4_G64, MXFP4_OCP,"
        " NVFP4_TENSOR (see docs/formats.md)"
    )


def plain_examples() -> list[str]:
    """Return at least one name of every family, for tables and tests."""
    integers = [f"INT{bits}_{kind}_G32" for kind in ("SYM", "ASYM") for bits in range(2, 9)]
    floats = [f"{name}_G32" for name in SMALL_FLOATS]
    zeros = [f"FP4_E2M1_M0_{special}_G32" for special in ("2.5", "5", "-5", "PM5", "BEST")]
    shares = ["INT4_SYM_G128", "INT4_SYM_ROW", "INT4_SYM_TENSOR", "INT4_ASYM_ROW", "FP8_E4M3_ROW"]
    return [*integers, *floats, *zeros, "NF4_G64", *shares, *_MX_FLOATS, "MXINT8", "NVFP4_TENSOR"]


def _shared(name: str, kind: str, share: str, search: bool) -> Format | None:
    if match := _INTEGER.fullmatch(kind):
        integers = SymmetricIntegers if match[2] == "SYM" else AsymmetricIntegers
        return _scaled(integers, name, share, search, int(match[1]))
    if kind in SMALL_FLOATS:
        element = SMALL_FLOATS[kind]
        return _scaled(ScaledFloats, name, share, search, element.bits, element=element)
    if kind == "NF4":
        return _scaled(NormalFloats, name, share, search, 4)
    match = _SECOND_ZERO.fullmatch(kind)
    if match is None:
        return None
    if match[1] == "BEST":
        return _scaled(BestSecondZero, name, share, search, 4)
    value = match[1].removeprefix("PM")
    special = float(value)
    if special == 0 or f"{special:g}" != value:  # one value, one name
        return None
    if value != match[1]:
        return _scaled(SignedSecondZero, name, share, search, 4, special=special)
    return _scaled(FixedSecondZero, name, share, search, 4, special=special)


def _scaled(kind: type[S], name: str, share: str, search: bool, bits: int, **more: Any) -> S:
    grouped = share.startswith("G")
    more.setdefault("scale_bytes", 2 if grouped else 4)
    unsized = dict.fromkeys(("block_size", "block_bytes", "group_size"), 0)
    format = kind(name=name, share=share, search=search, bits=bits, **unsized, **more)
    return format.sized(int(share[1:])) if grouped else format


def _mx(
    kind: type[ScaledFormat], name: str, search: bool, bits: int, **element: FloatType
) -> Format:
    return _scaled(kind, name, f"G{MX_GROUP}", search, bits, scale_bytes=1, **element)


def _nvfp4(name: str, search: bool) -> Format:
    groups = _scaled(NVFP4Groups, name, f"G{NVFP4_GROUP}", search, 4, scale_bytes=1)
    return NVFP4Tensor(
        name=name, block_size=0, block_bytes=0, group_size=NVFP4_GROUP, groups=groups
    )
