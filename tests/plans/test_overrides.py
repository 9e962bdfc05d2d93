"""Types named by hand, and the file in which llama.cpp takes them."""

import pytest

from zeropoint.errors import RecipeError
from zeropoint.plans import (
    TensorType,
    choose_formats,
    format_tensor_types,
    formats_of,
    parse_tensor_types,
)


def test_patterns_are_lowered_and_match_anywhere() -> None:
    r"""As llama.cpp: `\D` is lowered to `\d` as well."""
    assert TensorType.parse("ATTN_V=q6_k").matches("blk.0.attn_v.weight")
    assert TensorType.parse(r"blk\.\D\.=q6_k").matches("blk.1.attn_v.weight")
    assert TensorType.parse("attn_v=Q6_K").matches("blk.0.attn_v_b.weight")
    assert not TensorType.parse("^attn_v=Q6_K").matches("blk.0.attn_v.weight")
    assert TensorType.parse("[[:digit:]]{2}[.]=Q6_K").matches("blk.10.attn_v.weight")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("attn_v", "is not PATTERN=TYPE"),
        ("=Q6_K", "is not PATTERN=TYPE"),
        ("attn_v=", "is not PATTERN=TYPE"),
        ("attn_v=Q6", "there is no format 'Q6'; similar names: Q6_K"),
        ("attn_v=Q4_K_M", "is a preset"),
        ("(attn_v=Q6_K", "is not a regular expression"),
        ("(?i)attn=Q6_K", "syntax that llama.cpp does not have"),
        ("(?<=x)attn=Q6_K", "syntax that llama.cpp does not have"),
        ("a++=Q6_K", "syntax that llama.cpp does not have"),
    ],
)
def test_what_llama_cpp_would_not_understand_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        TensorType.parse(text)


def test_the_first_pattern_wins_and_shapes_still_count(outline) -> None:
    types = [("blk.0.*ffn_down", "Q6_K"), ("ffn_down", "Q3_K"), ("attn_v", "Q5_K")]
    found = formats_of(choose_formats(outline("smollm2-135m"), "Q4_K_M", tensor_types=types))
    assert found["blk.0.ffn_down.weight"].name == "Q6_K"
    assert found["blk.1.ffn_down.weight"].name == "Q3_K"
    assert found["blk.1.attn_v.weight"].name == "Q5_1"  # rows of 576


def test_a_type_named_outright_is_never_replaced(outline) -> None:
    with pytest.raises(RecipeError, match=r"Q4_K cannot store token_embd\.weight: its rows of 576"):
        choose_formats(outline("smollm2-135m"), "Q4_K_M", token_embedding_type="Q4_K")


@pytest.mark.parametrize("title", ["gemma3-270m", "mixtral-8x7b", "smollm2-135m"])
def test_a_tensor_type_file_gives_llama_cpp_the_same_formats(title, outline) -> None:
    """Read back by our own rules, which equal llama.cpp's; in either order of matching."""
    source = outline(title)
    wanted = {
        choice.name: choice.format for choice in choose_formats(source, "Q3_K_M") if choice.changes
    }
    text = format_tensor_types(wanted)
    for types in (parse_tensor_types(text), parse_tensor_types(text)[::-1]):
        found = formats_of(choose_formats(source, "Q8_0", tensor_types=types))
        assert {name: found[name].name for name in wanted} == {
            name: format.name for name, format in wanted.items()
        }


def test_names_in_a_tensor_type_file_are_escaped() -> None:
    from zeropoint.formats import find_format

    text = format_tensor_types({"v.Blk.0+x.weight": find_format("Q8_0")})
    assert text == "^v\\..lk\\.0.x\\.weight$=q8_0\n"
    assert parse_tensor_types(text)[0].matches("v.Blk.0+x.weight")
    assert not parse_tensor_types(text)[0].matches("vaBlk.0+x.weight")
