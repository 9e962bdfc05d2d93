"""One grammar for the names of plain formats, and errors that say what would work."""

import itertools
import subprocess
import sys

import pytest

from zeropoint.errors import FormatError
from zeropoint.formats import FORMATS, find_format
from zeropoint.formats.names import plain_examples, plain_format

CODES = [
    *(f"INT{bits}_{kind}" for bits in range(2, 9) for kind in ("SYM", "ASYM")),
    *("FP8_E4M3", "FP8_E5M2", "FP6_E2M3", "FP6_E3M2", "FP4_E2M1", "NF4"),
    *(
        "FP4_E2M1_M0_2.5",
        "FP4_E2M1_M0_-5",
        "FP4_E2M1_M0_0.125",
        "FP4_E2M1_M0_BEST",
        "FP4_E2M1_M0_PM5",
    ),
]
FIXED = ["MXFP8_E4M3", "MXFP8_E5M2", "MXFP6_E2M3", "MXFP6_E3M2", "MXFP4_OCP", "MXINT8"]
SHARES = ["G1", "G16", "G100", "G128", "ROW", "TENSOR"]
NAMES = [
    *(f"{codes}_{share}" for codes, share in itertools.product(CODES, SHARES)),
    *(*FIXED, "NVFP4_TENSOR"),
]


def test_every_name_of_the_grammar_is_found_under_itself() -> None:
    names = [*NAMES, *(f"{name}_SEARCH" for name in NAMES)]
    formats = [find_format(name) for name in names]
    assert [format.name for format in formats] == names
    assert len(set(formats)) == len(names)


def test_examples_are_names_and_no_name_is_a_storage_formats() -> None:
    examples = plain_examples()
    assert len(examples) == len(set(examples))
    assert all(plain_format(name) for name in examples)
    assert not [name for name in FORMATS if plain_format(name)]


def test_a_name_is_found_in_any_case() -> None:
    assert find_format("q8_0") is find_format("Q8_0")
    assert find_format("int4_sym_g128") == find_format("INT4_SYM_G128")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("INT4_SYM", "INT4_SYM_G32, INT4_SYM_ROW, INT4_SYM_TENSOR"),
        ("FP8_E4M3", "FP8_E4M3_G32, FP8_E4M3_ROW"),
        ("FP4_E2M1_M0_2.5", "FP4_E2M1_M0_2.5_G32"),
        ("INT9_SYM_G32", "INT4_SYM_G128"),
        ("Q9_K", "similar names: Q6_K"),
        ("q8", "similar names: Q8_0"),
        ("", "Q8_0"),
    ],
)
def test_an_unknown_name_says_what_would_work(name: str, says: str) -> None:
    with pytest.raises(FormatError, match="there is no format") as error:
        find_format(name)
    assert says in str(error.value)


@pytest.mark.parametrize(
    "name",
    [
        *("INT1_SYM_G32", "INT9_SYM_G32", "INT4_G32", "INT4_SYM_G0", "INT4_SYM_G032"),
        *("INT4_SYM_G-1", "INT4_SYM_COLUMN", "INT4_SYM_G32_FAST", "INT4_SYM_G32_SEARCH_SEARCH"),
        *(
            "FP4_E2M1_M0_0_G32",
            "FP4_E2M1_M0_2.50_G32",
            "FP4_E2M1_M0_+5_G32",
            "FP4_E2M1_M0_G32",
            "FP4_E2M1_M0_PM-5_G32",
        ),
        *("MXFP4_OCP_G32", "NVFP4_TENSOR_ROW", "NVFP4_G16", "E4M3_ROW", "INT4_SYM_G32\n"),
        *("INT4_SYM_G" + "9" * 5000, "FP4_E2M1_M0_" + "9" * 5000 + "_G32", "INT٤_SYM_G32"),
        "INT4_SYM_G1٠",
    ],
)
def test_one_thing_has_one_name(name: str) -> None:
    with pytest.raises(FormatError, match="there is no format"):
        find_format(name)


def test_the_package_offers_the_verbs_without_loading_their_rooms() -> None:
    code = (
        "import sys, zeropoint as zp\n"
        "assert 'zeropoint.quantizers' not in sys.modules\n"
        "assert zp.quantize is sys.modules['zeropoint.quantizers'].quantize\n"
        "assert all(hasattr(zp, name) for name in zp.__all__) and not hasattr(zp, 'nonsense')\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
