"""A plan is complete, explains itself, and refuses what cannot be."""

import pytest

from zeropoint.errors import RecipeError
from zeropoint.plans import PRESETS, check_importance, choose_formats, formats_of
from zeropoint.plans.formats.presets import more_bits


def by_name(choices):
    return {choice.name: choice for choice in choices}


def test_choices_come_in_the_order_of_the_source(outline) -> None:
    source = outline("awkward")
    assert [c.name for c in choose_formats(source, "Q4_K_M")] == list(source.tensors)


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"Q1_0"}))
def test_every_choice_has_a_reason_in_words(preset, outline) -> None:
    for choice in choose_formats(outline("smollm2-135m"), preset):
        assert len(choice.reason) > 15 and not choice.reason.endswith(".")
        assert ("so it gets" in choice.reason) == choice.fallback


def test_reasons_say_what_the_rule_is_about(outline) -> None:
    mix = by_name(choose_formats(outline("llama-28"), "Q4_K_M"))
    assert mix["blk.5.attn_v.weight"].reason == (
        "attn_v of layer 5: Q4_K_M gives Q6_K to values "
        "in the first and last eighth and in every third layer between"
    )
    assert mix["blk.6.attn_v.weight"].reason == (
        "attn_v of layer 6: Q4_K is the base format of Q4_K_M"
    )
    tied = by_name(choose_formats(outline("gemma3-270m"), "Q4_K_M"))["token_embd.weight"]
    assert tied.reason == (
        "token_embd: Q4_K_M gives Q8_0 to the output matrix (the token embedding, as there is no "
        "output.weight) whose rows are not a multiple of the base format's block"
    )
    hybrid = by_name(choose_formats(outline("lfm2-hybrid"), "Q4_K_M"))["blk.8.attn_v.weight"]
    assert hybrid.reason.startswith("attn_v of layer 8 (number 3 of 6): ")


def test_one_format_for_all_is_every_quantizable_tensor(outline) -> None:
    """A name that is no preset; a preset's name with --pure is the same."""
    for options in ({"to": "MXFP4"}, {"to": "mxfp4_moe", "pure": True}):
        found = formats_of(choose_formats(outline("llama-28"), **options))
        assert {f.name for n, f in found.items() if "norm" not in n} == {"MXFP4"}
        assert {f.name for n, f in found.items() if "norm" in n} == {"F32"}


def test_a_plain_format_spreads_over_row_or_tensor(outline) -> None:
    """`--as INT4_ASYM_ROW` judges it though no GGUF can store it; blocks have the row's size."""
    choices = by_name(choose_formats(outline("smollm2-135m"), "int4_asym_row"))
    value = choices["blk.0.attn_v.weight"]
    assert (value.format.name, value.format.block_size) == ("INT4_ASYM_ROW", 576)
    assert value.nbytes == 192 * value.format.block_bytes and not value.fallback


def test_presets_are_found_in_any_case_and_by_alias(outline) -> None:
    source = outline("llama-28")
    for alias, name in (("q4_k", "Q4_K_M"), ("Q3_K", "Q3_K_M"), ("q5_k", "Q5_K_M")):
        assert formats_of(choose_formats(source, alias)) == formats_of(choose_formats(source, name))


def test_an_unknown_target_names_what_comes_close(outline) -> None:
    with pytest.raises(
        RecipeError, match=r"'Q4_KM' is not a preset, a format .* similar names: Q4_K_M"
    ):
        choose_formats(outline("llama-28"), "Q4_KM")


@pytest.mark.parametrize(("format", "block"), [("Q1_0", 128), ("INT4_SYM_G128", 128)])
def test_a_format_without_stand_in_names_tensor_and_what_fits(format, block, outline) -> None:
    message = (
        rf"{format} cannot store .*: its rows of 576 weights are not a multiple of the block "
        rf"of {block}, and the format has no fallback; Q4_0, Q5_0, Q8_0, IQ4_NL fit"
    )
    with pytest.raises(RecipeError, match=message):
        choose_formats(outline("smollm2-135m"), format)


def test_formats_of_one_or_two_bits_ask_for_importance(outline) -> None:
    source = outline("qwen2-1.5b-untied")
    needy = {
        preset: sorted({c.format.name for c in choose_formats(source, preset, imatrix=True)
                        if c.needs_importance})
        for preset in PRESETS
    }  # fmt: skip
    assert {preset: names for preset, names in needy.items() if names} == {
        "IQ1_S": ["IQ1_S", "IQ2_XXS"], "IQ1_M": ["IQ1_M", "IQ2_XXS"],
        "IQ2_XXS": ["IQ2_XXS"], "IQ2_XS": ["IQ2_XS"], "IQ2_S": ["IQ2_XS"], "IQ2_M": ["IQ2_S"],
        "IQ3_XXS": ["IQ2_S", "IQ3_XXS"], "IQ3_XS": ["IQ3_XXS"], "Q2_K_S": ["Q2_K"],
    }  # fmt: skip
    choices = choose_formats(source, "IQ2_M", imatrix=True)
    missing = [c.name for c in choices if c.needs_importance]
    with pytest.raises(RecipeError, match=r"IQ2_S without importance gives noise.* and \d+ more"):
        check_importance(choices)
    with pytest.raises(RecipeError, match=rf"there is none for {missing[0]}; "):
        check_importance(choices, missing[1:])
    check_importance(choices, missing)
    check_importance(choose_formats(source, "Q2_K"))


def test_what_is_already_in_its_format_is_copied(outline) -> None:
    source = outline("llama-28").all_in("Q8_0")
    assert not any(choice.changes for choice in choose_formats(source, "Q8_0"))
    again = by_name(choose_formats(source, "Q4_K_M"))
    assert again["blk.0.attn_q.weight"].requantizes
    assert not by_name(choose_formats(outline("llama-28"), "Q4_K_M"))[
        "blk.0.attn_q.weight"
    ].requantizes


def test_an_expert_without_a_layer_is_refused_as_in_llama_cpp(outline) -> None:
    source = outline("mixtral-8x7b")
    tensors = dict(source.tensors)
    tensors["mm.ffn_down.weight"] = tensors["blk.0.ffn_down_exps.weight"]
    object.__setattr__(tensors["mm.ffn_down.weight"], "name", "mm.ffn_down.weight")
    lost = type(source)(source.metadata, tensors)
    with pytest.raises(RecipeError, match="a preset needs the layer of every expert tensor"):
        choose_formats(lost, "Q4_K_M")
    assert choose_formats(lost, "Q4_K_M", pure=True)


def test_a_model_without_metadata_is_planned_by_its_names(outline) -> None:
    source = outline("llama-7b-mha")
    bare = type(source)({}, source.tensors)
    assert formats_of(choose_formats(bare, "Q4_K_M")) == formats_of(
        choose_formats(source, "Q4_K_M")
    )


@pytest.mark.parametrize(
    ("layers", "more"),
    [
        (28, [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]),
        (32, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]),
        (36, [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 31, 32, 33, 34, 35]),
    ],
)
def test_more_bits_go_to_both_ends_and_every_third_between(layers: int, more: list[int]) -> None:
    assert [layer for layer in range(layers) if more_bits(layer, layers)] == more
