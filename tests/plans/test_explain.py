"""Presets in words: the rules that `choose_formats` follows, and no others."""

import pytest

from zeropoint.plans import PRESETS
from zeropoint.plans.formats.explain import explain_preset


def test_q4_k_m_as_everybody_knows_it() -> None:
    preset = explain_preset("q4_k_m")
    assert preset is not None and (preset.name, preset.base) == ("Q4_K_M", "Q4_K")
    assert [(d.tensors, d.format) for d in preset.deviations] == [
        *[("the output matrix", "Q8_0"), ("the output matrix", "Q6_K")],
        *[("values", "Q6_K"), ("ffn_down", "Q6_K")],
    ]
    assert preset.fallback == "Q5_0" and not preset.needs_importance
    assert preset.particular == ("Falcon", "GLM5-NEXT", "models with exactly 8 experts")


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_has_words(name: str) -> None:
    preset = explain_preset(name)
    assert preset is not None and preset.base == PRESETS[name].base
    always = [d.tensors for d in preset.deviations if not d.where]
    assert len(always) == len(set(always)), "what follows an unconditional rule is never reached"


def test_an_unquantized_preset_has_no_deviations() -> None:
    for name in ("F16", "BF16", "F32", "COPY"):
        preset = explain_preset(name)
        assert preset is not None and preset.deviations == () and preset.particular == ()


def test_another_name_is_no_preset() -> None:
    assert explain_preset("Q9_K") is None
