"""Recipes are read as written, say what is wrong in them, and come back from any set of choices."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zeropoint.checkpoints import NewTensor
from zeropoint.errors import RecipeError
from zeropoint.formats import find_format
from zeropoint.plans import PRESETS, Recipe, choose_formats, formats_of, recipe_of
from zeropoint.plans.formats.globs import Glob, escape, spans

EXAMPLE = """\
token_embd.weight      Q6_K
blk.*.attn_v.weight    Q6_K
blk.*.ffn_down.weight  Q5_K
*.weight               Q4_K
*                      F32"""


def test_a_recipe_prints_as_it_was_written() -> None:
    assert str(Recipe.parse(EXAMPLE)) == EXAMPLE
    loose = "# a comment\n\n token_embd.weight\tq6_k # here too\n* F32"
    assert str(Recipe.parse(loose)) == "token_embd.weight  Q6_K\n*                  F32"


def test_the_first_match_wins(outline) -> None:
    """Norms and biases keep their format whatever matches them; no rule reaches them."""
    formats = formats_of(choose_formats(outline("llama-28"), Recipe.parse(EXAMPLE)))
    assert formats["blk.3.attn_v.weight"].name == "Q6_K"
    assert formats["blk.3.ffn_down.weight"].name == "Q5_K"
    assert formats["blk.3.attn_q.weight"].name == "Q4_K"
    assert formats["output.weight"].name == "Q4_K"
    assert formats["blk.3.attn_norm.weight"].name == "F32"
    swapped = formats_of(
        choose_formats(outline("llama-28"), Recipe.parse("* Q4_K\nblk.*.attn_v.weight Q6_K"))
    )
    assert swapped["blk.3.attn_v.weight"].name == "Q4_K"


def test_a_choice_by_recipe_names_its_line(outline) -> None:
    choices = choose_formats(outline("llama-28"), Recipe.parse("# first\n\n*.weight Q4_K\n* F32"))
    reasons = {choice.name: choice.reason for choice in choices}
    assert reasons["blk.0.attn_q.weight"] == "line 3 of the recipe: *.weight Q4_K"
    assert reasons["output_norm.weight"] == "vectors are not quantized"


def test_rows_that_do_not_fit_fall_back_in_a_recipe_too(outline) -> None:
    choices = choose_formats(outline("smollm2-135m"), Recipe.parse("* Q4_K"))
    value = next(choice for choice in choices if choice.name == "blk.0.attn_v.weight")
    assert (value.wanted.name, value.format.name, value.fallback) == ("Q4_K", "Q5_0", True)
    assert value.reason.endswith("its rows of 576 are not a multiple of 256, so it gets Q5_0")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no rules"),
        ("# only this", "has no rules"),
        ("* Q4_K\nlonely", "line 2: 'lonely' is not a rule; write PATTERN FORMAT"),
        ("* Q4_X", r"line 1: there is no format 'Q4_X'; similar names: IQ4_XS, Q4_K, "),
        ("* Q4_K_M", "line 1: Q4_K_M is a preset, not the format of one tensor"),
        ("* I32", "line 1: I32 is not a format for weights"),
        ("a.[bc Q4_K", "line 1: pattern 'a.\\[bc' has a '\\['"),
        ("a.{b,c Q4_K", "line 1: pattern 'a.{b,c' has a '{'"),
        ("a.{9..1} Q4_K", "line 1: '9..1' in braces is not a range"),
        ("a.{0..999999999} Q4_K", "not a range of at most 4096 numbers"),
        ("* INT4_SYM", "INT4_SYM_G32"),
    ],
)
def test_a_recipe_that_is_wrong_says_where_and_what_would_work(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.parse(text)


def test_every_quantizable_tensor_needs_a_rule(outline) -> None:
    with pytest.raises(RecipeError, match=r"no rule matches token_embd\.weight, output\.weight, "
                       r"blk\.0\.attn_q\.weight and 167 more; end the recipe with"):  # fmt: skip
        choose_formats(outline("llama-28"), Recipe.parse("blk.*.attn_v.weight Q6_K"))
    with pytest.raises(RecipeError, match=r"\(--pure\) and a recipe contradict"):
        choose_formats(outline("llama-28"), Recipe.parse("* Q4_K"), pure=True)


def test_keep_leaves_a_tensor_in_its_source_format(outline) -> None:
    source = outline("llama-28").all_in("Q8_0")
    choices = choose_formats(source, Recipe.parse("blk.0.* Q4_K\n* keep"))
    changed = {choice.name for choice in choices if choice.changes}
    assert changed and all(name.startswith("blk.0.") for name in changed)
    assert all(choice.requantizes for choice in choices if choice.changes)


def test_recipe_files_are_read_and_bad_ones_named(tmp_path, outline) -> None:
    path = tmp_path / "mine.recipe"
    path.write_text("\ufeff* Q5_K\n")
    assert {c.format.name for c in choose_formats(outline("llama-28"), str(path))} == {
        "Q5_K",
        "F32",
    }
    with pytest.raises(RecipeError, match=r"none\.recipe: cannot be read"):
        Recipe.load(tmp_path / "none.recipe")
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match=r"mine\.recipe: byte \d+: not UTF-8"):
        Recipe.load(path)
    path.write_text("* NOPE")
    with pytest.raises(RecipeError, match=r"mine\.recipe: line 1: there is no format"):
        Recipe.load(path)
    path.write_bytes(b"#" * (2**20 + 1))
    with pytest.raises(RecipeError, match="is larger than"):
        Recipe.load(path)


@pytest.mark.parametrize("preset", sorted(set(PRESETS) - {"Q1_0"}))
@pytest.mark.parametrize("title", ["gemma3-270m", "mixtral-8x7b", "awkward", "lfm2-hybrid"])
def test_a_preset_printed_as_a_recipe_gives_the_same_formats(title, preset, outline) -> None:
    source = outline(title)
    choices = choose_formats(source, preset)
    recipe = recipe_of(choices)
    assert Recipe.parse(str(recipe)) == recipe
    again = choose_formats(source, Recipe.parse(str(recipe)))
    assert [c.format.name for c in again] == [c.format.name for c in choices]


def test_a_recipe_made_of_a_preset_is_short_enough_to_read(outline) -> None:
    recipe = recipe_of(choose_formats(outline("llama-28"), "Q4_K_M"))
    assert str(recipe) == (
        "output.weight                                      Q6_K\n"
        "blk.{0..2,5,8,11,14,17,20,23..27}.attn_v.weight    Q6_K\n"
        "blk.{0..2,5,8,11,14,17,20,23..27}.ffn_down.weight  Q6_K\n"
        "*                                                  Q4_K"
    )


NAMES = st.lists(
    st.builds(
        "{}{}.{}weight".format,
        st.sampled_from(["blk.", "blk.1.blk.", "v.blk.", "blk.0", "odd*[", "a b#", "{x}"]),
        st.integers(0, 12),
        st.sampled_from(["attn_v.", "ffn_down.", "x.attn_v.", "", "a-z].", "{0..2}."]),
    ),
    unique=True,
)


@given(names=NAMES, data=st.data())
def test_any_formats_come_back_from_their_recipe(names: list[str], data) -> None:
    """Even where one name's pattern would match another's tensor."""
    formats = [data.draw(st.sampled_from(["Q4_K", "Q6_K", "F16", "Q8_0"])) for _ in names]
    tensors = [
        NewTensor(name, (8, 256), find_format(format))
        for name, format in zip(names, formats, strict=True)
    ]
    recipe = Recipe.parse(str(recipe_of(tensors)))
    for tensor in tensors:
        rule = recipe.rule_for(tensor.name)
        assert rule is not None and rule.format == tensor.format.name


TEXT = st.text("ab.0[]{}*?!,-#", max_size=12)


@given(name=TEXT, other=TEXT)
def test_an_escaped_name_matches_itself_alone(name: str, other: str) -> None:
    glob = Glob.parse(escape(name))
    assert glob.matches(name)
    assert glob.matches(other) == (other == name)


@given(
    pattern=st.text("ab*?", max_size=8),
    name=st.text("ab", max_size=8),
)
def test_stars_and_question_marks_match_as_in_regular_expressions(pattern: str, name: str) -> None:
    judge = re.compile(pattern.replace("*", ".*").replace("?", "."), re.DOTALL)
    assert Glob.parse(pattern).matches(name) == bool(judge.fullmatch(name))


def test_sets_and_braces() -> None:
    assert Glob.parse("blk.{0..2,7}.x").matches("blk.7.x")
    assert not Glob.parse("blk.{0..2,7}.x").matches("blk.3.x")
    assert Glob.parse("{ab,a}*bc").matches("abc")
    assert Glob.parse("[!a-c]x").matches("dx") and not Glob.parse("[!a-c]x").matches("bx")
    assert Glob.parse("[]a]").matches("]") and Glob.parse("[a-]").matches("-")


def test_a_pattern_of_many_stars_takes_no_time() -> None:
    assert not Glob.parse("*a" * 60 + "b").matches("a" * 63)


@given(st.lists(st.integers(0, 40), unique=True, min_size=1))
def test_spans_say_every_number_once(numbers: list[int]) -> None:
    glob = Glob.parse(f"{{{spans(sorted(numbers))}}}")
    assert [n for n in range(50) if glob.matches(str(n))] == sorted(numbers)
