"""Presets and options give each tensor the very format that llama.cpp gives it."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.model_shapes import role_and_layer
from zeropoint.errors import RecipeError
from zeropoint.plans import PRESETS, choose_formats
from zeropoint.plans.formats.presets import RULES, UNWEIGHTED, WEIGHTED

GOLDEN = Path(__file__).parents[1] / "golden"
ANSWERS = json.loads((GOLDEN / "presets.json").read_text())
LETTERS = ANSWERS["letters"]


@pytest.fixture(scope="session")
def compact():
    """Write choices as the golden file does: letters with run lengths, by role and layer."""

    def write(choices) -> str:
        found = {choice.name: choice.format.name for choice in choices}
        names = sorted(found, key=role_and_layer)
        runs = [(letter, len(list(run))) for letter, run in
                itertools.groupby(LETTERS[found[name]] for name in names)]  # fmt: skip
        return "".join(letter + (str(count) if count > 1 else "") for letter, count in runs)

    return write


@pytest.mark.parametrize("title", ANSWERS["answers"])
def test_every_preset_chooses_as_llama_cpp_does(title, outline, compact) -> None:
    """With an importance matrix too, where llama.cpp or one of our rules minds it."""
    source = outline(title)
    answers = ANSWERS["answers"][title]
    asked = set(PRESETS) - {"COPY"}
    mind = {
        preset
        for rule in RULES
        if {WEIGHTED, UNWEIGHTED} & set(rule.conditions)
        for preset in rule.presets
    }
    assert asked <= set(answers) <= asked | {f"{preset}+imatrix" for preset in mind}
    for key in sorted(set(answers) | {f"{preset}+imatrix" for preset in mind}):
        preset, plus, _ = key.partition("+")
        answer = answers.get(key, answers[preset])
        if answer.startswith("!"):
            with pytest.raises(RecipeError, match="the format has no fallback"):
                choose_formats(source, preset, imatrix=bool(plus))
        else:
            choices = choose_formats(source, preset, imatrix=bool(plus), small_drafts=True)
            assert compact(choices) == answer, key


@pytest.mark.parametrize("preset", ["Q2_K", "Q4_K_M", "Q8_0", "IQ3_S"])
def test_a_draft_head_gets_at_least_8_bits_by_default(outline, preset: str) -> None:
    source = outline("glm4-moe-nextn")  # layer 46 is one
    choices = choose_formats(source, preset)
    small = {choice.name: choice for choice in choose_formats(source, preset, small_drafts=True)}
    for choice in choices:
        if choice.name.startswith("blk.46.") and choice.changes:
            bits = 8 * choice.format.block_bytes / choice.format.block_size
            assert bits >= 8.5, choice
        else:
            assert choice.format == small[choice.name].format
    named = choose_formats(source, preset, tensor_types=[("blk.46", "Q4_0")])
    assert any(choice.format.name == "Q4_0" for choice in named)


@pytest.mark.parametrize(
    "case",
    ANSWERS["options"],
    ids=[f"{title}-{preset}-{number}"
         for number, (title, preset, *_) in enumerate(ANSWERS["options"])],
)  # fmt: skip
def test_every_option_means_what_it_means_in_llama_cpp(case, outline, compact) -> None:
    title, preset, imatrix, options, answer = case
    options = dict(options)
    if options.pop("only_copy", False):
        preset = "COPY"
    if not options.pop("quantize_output_tensor", True):
        options["leave_output"] = True
    choices = choose_formats(outline(title), preset, imatrix=imatrix, small_drafts=True, **options)
    assert compact(choices) == answer


@pytest.mark.slow
def test_every_rule_is_needed(outline, compact, monkeypatch) -> None:
    """Each rule in turn is taken away: some golden answer then differs, or the rule is dead."""
    from zeropoint.plans.formats import presets

    sources = {title: outline(title) for title in ANSWERS["answers"]}
    # The shapes that show the most rules first.
    order = ["mixtral-8x7b", "llama-28", "llama-7b-mha", "falcon-7b", "falcon-40b", "glm5-next",
             "bailingmoe3", "qwen2-1.5b-untied", "gemma3-270m", "awkward"]  # fmt: skip
    dead = []
    for rule in RULES:
        for key, table in list(presets.RULES_OF.items()):
            monkeypatch.setitem(presets.RULES_OF, key, [r for r in table if r is not rule])
        if not any(
            compact(choose_formats(sources[title], preset, imatrix=bool(suffix)))
            != ANSWERS["answers"][title].get(preset + suffix, ANSWERS["answers"][title][preset])
            for title in order
            for preset in sorted(rule.presets - {"COPY", "F16", "BF16", "F32", "Q1_0"})
            for suffix in ("", "+imatrix")
        ):
            dead.append(rule)
        monkeypatch.undo()
    assert not dead


@pytest.mark.peer
def test_the_golden_answers_are_what_llama_cpp_says_today(tmp_path) -> None:
    """Asks the llama.cpp that is installed, all over again (half a minute)."""
    pytest.importorskip("llama_cpp")
    again = tmp_path / "presets.json"
    subprocess.run([sys.executable, str(GOLDEN / "make_presets.py"), str(again)], check=True)
    assert json.loads(again.read_text()) == ANSWERS
