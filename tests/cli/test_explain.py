"""`explain` on the command line: what a person reads, what a program reads, what goes wrong."""

import json
import subprocess
import sys

import pytest

from zeropoint.cli import main
from zeropoint.cli.views.glossary import SPELLINGS, TERMS, find_term
from zeropoint.plans.formats.names import no_target

BLOCK = "--block=-0.89,0.16,0.08,-0.13,0.16,-0.54"


@pytest.fixture
def explain(capsys: pytest.CaptureFixture[str]):
    def run(*words: str, code: int = 0) -> str:
        assert main(["explain", *words]) == code
        out, err = capsys.readouterr()
        assert err == "" if code == 0 else out == "" and err.count("\n") == 1
        return out + err

    return run


def test_a_value_bit_by_bit(explain) -> None:
    text = explain("0.16", "--format", "FP8_E4M3")
    for part in ("0.16 in FP8_E4M3 is 0.15625", "0100", "010", "0x22", "2^(4 − 7) · (1 + 2/8)"):
        assert part in text
    assert "0.140625 below, 0.171875 above" in text and "-0.00375 (-2.34 %)" in text


@pytest.mark.parametrize(
    ("format", "code", "stored"),
    [
        *[("float32", "0xbe23d70a", -0.1599999964237213), ("float16", "0xb11f", -0.1600341796875)],
        *[("bfloat16", "0xbe24", -0.16015625), ("e2m1", "0x8", 0.0), ("fp6_e2m3", "0x21", -0.125)],
    ],
)
def test_a_negative_number_is_no_option(explain, format: str, code: str, stored: float) -> None:
    assert code in explain("-0.16", "--format", format)
    told = json.loads(explain("-0.16", "--format", format, "--json"))
    assert told["kind"] == "value" and told["stored"] == stored and hex(told["code"]) == code


def test_a_number_alone_is_shown_in_every_type(explain) -> None:
    text = explain("0.16")
    for name in ("F32", "F16", "BF16", "FP8_E4M3", "FP8_E5M2", "FP6_E2M3", "FP6_E3M2", "FP4_E2M1"):
        assert name in text
    assert len(json.loads(explain("0.16", "--json"))["values"]) == 8


def test_a_number_beyond_the_largest_says_so(explain) -> None:
    assert "exceeds the largest value" in explain("1e9", "--format", "e4m3")
    infinite = explain("inf", "--format", "float16")
    assert "exceeds the largest value" in infinite and "nan" not in infinite


def test_numbers_that_share_nothing_have_no_group(explain) -> None:
    assert "group" not in explain("--block=0.1,0.2", "--format", "F16")
    assert "group  0-1" in explain("--block=0.1,0.2", "--format", "int4")


def test_the_essays_block(explain) -> None:
    text = explain("0.16", "--format", "q4-symmetric", BLOCK)
    assert "scale  = max |w| / 7 = 0.127143" in text
    assert "code   = round(0.16 / scale) = round(1.2584) = 1" in text
    assert "mean |error|  18.0 %" in text
    assert "8.5 % in INT4_ASYM_TENSOR, zero point 5" in text
    assert "code −8 is never used" in text


def test_a_block_as_json_has_all_of_it(explain) -> None:
    told = json.loads(explain("--format", "INT4_ASYM", BLOCK, "--json"))
    assert told["schema"] == "zeropoint.explain/1" and told["kind"] == "block"
    assert [weight["code"] for weight in told["weights"]] == [-8, 7, 6, 3, 7, -3]
    assert told["groups"] == [
        {"first": 0, "last": 5, "scale": 0.07000000029802322, "zero_point": 5, "minimum": None}
    ]
    assert told["beside"]["format"] == "INT4_SYM_TENSOR"


@pytest.mark.parametrize(
    ("word", "parts"),
    [
        ("Q4_K", ["4.5 bits per weight", "144 bytes", "w = scale · q + minimum", "Q4_K_M"]),
        (
            "q8_0",
            ["8.5 bits per weight", "34 bytes", "w = scale · q", "--to Q8_0 is the preset Q8_0"],
        ),
        (
            "Q4_K_M",
            [
                "Q4_K_M is a preset: Q4_K for every matrix",
                "Q6_K",
                "ffn_down",
                "in every third layer",
                "Q5_0",
            ],
        ),
        ("IQ1_S", ["1.5625 bits per weight", "importance matrix", "grid"]),
        ("IQ2_XXS", ["2.0625 bits per weight", "importance matrix", "grid"]),
        ("FP4_E2M1", ["0 0.5 1 1.5 2 3 4 6", "1 of mantissa"]),
        ("FP8_E5M2", ["57344", "5 of exponent"]),
        ("int4_sym_g128", ["4.125 bits per weight", "max |w| / 7", "0-1 scale f16"]),
        ("MXFP4_OCP", ["4.25 bits per weight", "E8M0"]),
        ("NVFP4_TENSOR", ["tensor_scale"]),
    ],
)
def test_a_name_is_explained(explain, word: str, parts: list[str]) -> None:
    text = explain(word)
    for part in parts:
        assert part in text


@pytest.mark.parametrize("word", ["perplexity", "kl", "scale", "zero-point", "block", "imatrix"])
def test_words_are_explained(explain, word: str) -> None:
    term = find_term(word)
    assert term is not None
    told = json.loads(explain(word, "--json"))
    assert told == told | {"kind": "term", "term": term[0], "text": term[1]}
    assert " ".join(explain(word).split()) == " ".join(" ".join(term).split())


def test_words_may_stand_apart(explain) -> None:
    assert explain("bits", "per", "weight") == explain("bits-per-weight") == explain("bpw")


def test_every_other_spelling_leads_to_a_term() -> None:
    assert set(SPELLINGS.values()) <= set(TERMS)
    assert not set(SPELLINGS) & set(TERMS)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["scael"], "did you mean scale?"),
        (["Q4_KM"], "Q4_K_M"),
        (["blueberry"], "terms are scale, zero point"),
        ([], "give a number, a format"),
        (["0.16", "--format", "INT4_SYM"], "give the weights of the block: --block=0.16,"),
        (["0.16", "--format", "F64"], "these types can: F32, F16, BF16, FP8_E4M3"),
        (["0.16", "--format", "FP9"], "there is no format 'FP9'"),
        (["nan", "--format", "F16"], "NaN"),
        (["0.5", BLOCK], "0.5 is not among the 6 weights"),
        (["Q4_K", BLOCK], "with --block, WHAT must be a number"),
        (["--block=1,2,x"], "numbers separated by commas"),
        (["--block=,"], "1 to 65536 weights, not 0"),
        (["--block=1,nan"], "finite"),
    ],
)
def test_what_cannot_be_explained_is_one_sentence(explain, words: list[str], says: str) -> None:
    assert says in explain(*words, code=2)


def test_it_needs_neither_torch_nor_the_compiled_kernels() -> None:
    code = (
        "import sys; sys.modules['zeropoint.kernels._native'] = None\n"
        "from zeropoint.cli import main\n"
        f"assert main(['explain', '0.16', '--format', 'INT4_SYM', '{BLOCK}']) == 0\n"
        "assert main(['explain', 'Q4_K']) == 0\n"
        "assert not {'torch', 'transformers', 'gguf'} & set(sys.modules), 'too much is imported'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("word", "term"),
    [
        ("offset", "zero point"), ("midpoint", "midpoint"), ("Blackwell", "GPU generation"),
        ("KV cache", "KV cache"), ("vram", "VRAM"), ("MoE", "mixture of experts"),
        ("k-quants", "super-block"), ("importance matrix", "importance"),
        ("prefill", "prompt processing"),
    ],
)  # fmt: skip
def test_the_words_of_newcomers_are_known(
    word: str, term: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", *word.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["term"] == term


def test_a_product_needs_no_group(capsys: pytest.CaptureFixture[str]) -> None:
    texts = []
    for name in ("FP8_E4M3", "FP8_E4M3_ROW", "fp8"):
        assert main(["explain", "multiply", "--device", "rtx5090", "--format", name]) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == texts[2]


@pytest.mark.parametrize("word", ["INT4", "4bit", "fp4", "q4", "4"])
def test_a_number_of_bits_as_target_names_files_of_that_size(word: str) -> None:
    assert "about 4 bits use Q4_K_M, IQ4_XS or Q4_0" in no_target(word)
