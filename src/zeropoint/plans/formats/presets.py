"""llama.cpp's presets as data: a base format and an ordered list of rules that deviate from it.

The first rule that applies wins. A rule without a format means the preset's base format. The rules
are those of llama.cpp of 2026-10-01 (`llama-quant.cpp`). Since its pull request 19770 a fused
`attn_qkv` counts as values, so older files of the same preset differ. `tests/plans/test_presets.py`
compares these rules with the choices that llama.cpp makes for more than two dozen model shapes.
`RULES_VERSION` changes whenever a choice changes.
"""

from collections.abc import Callable
from dataclasses import dataclass

from zeropoint.plans.formats.model_facts import ModelFacts
from zeropoint.plans.formats.roles import Role

RULES_VERSION = "llama.cpp 2026-10-01"


@dataclass(frozen=True)
class Preset:
    """A name for `--to`, with its base format."""

    name: str
    #: Format of every tensor without a rule; None: tensors keep their formats.
    base: str | None
    #: llama.cpp's number of the preset, the value of `general.file_type`.
    file_type: int


PRESETS = {
    name: Preset(name, base, number)
    for name, base, number in (
        ("F32", "F32", 0), ("F16", "F16", 1), ("BF16", "BF16", 32), ("COPY", None, 0),
        ("Q8_0", "Q8_0", 7), ("Q6_K", "Q6_K", 18),
        ("Q5_K_M", "Q5_K", 17), ("Q5_K_S", "Q5_K", 16), ("Q5_0", "Q5_0", 8), ("Q5_1", "Q5_1", 9),
        ("Q4_K_M", "Q4_K", 15), ("Q4_K_S", "Q4_K", 14), ("Q4_0", "Q4_0", 2), ("Q4_1", "Q4_1", 3),
        ("IQ4_NL", "IQ4_NL", 25), ("IQ4_XS", "IQ4_XS", 30), ("MXFP4_MOE", "MXFP4", 38),
        ("Q3_K_L", "Q3_K", 13), ("Q3_K_M", "Q3_K", 12), ("Q3_K_S", "Q3_K", 11),
        ("IQ3_M", "IQ3_S", 27), ("IQ3_S", "IQ3_S", 26), ("IQ3_XS", "IQ3_S", 22),
        ("IQ3_XXS", "IQ3_XXS", 23),
        ("Q2_K", "Q2_K", 10), ("Q2_K_S", "Q2_K", 21), ("Q2_0", "Q2_0", 41),
        ("IQ2_M", "IQ2_S", 29), ("IQ2_S", "IQ2_XS", 28), ("IQ2_XS", "IQ2_XS", 20),
        ("IQ2_XXS", "IQ2_XXS", 19), ("IQ1_M", "IQ1_M", 31), ("IQ1_S", "IQ1_S", 24),
        ("TQ2_0", "TQ2_0", 37), ("TQ1_0", "TQ1_0", 36), ("Q1_0", "Q1_0", 40),
    )
}  # fmt: skip
ALIASES = {"Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}


@dataclass(frozen=True, kw_only=True)
class TensorPosition:
    """A tensor's position in the model: the facts that conditions of rules depend on."""

    facts: ModelFacts
    name: str
    #: Layer of the tensor, or its number among the tensors of its role where rules count those.
    index: int
    #: Number of layers, or of tensors of its role.
    count: int
    #: Whether an importance matrix is given.
    importance: bool
    #: Whether the tensor holds the matrices of several experts.
    stacked: bool
    #: Whether its rows are a multiple of the base format's block.
    whole: bool


@dataclass(frozen=True)
class Condition:
    """A test of a tensor's position, and the words for it in a reason."""

    words: str
    holds: Callable[[TensorPosition], bool]


def more_bits(index: int, count: int) -> bool:
    """Return whether a layer is in the first or last eighth, or is every third one between.

    >>> [layer for layer in range(28) if more_bits(layer, 28)]
    [0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26, 27]
    """
    eighth = count // 8
    # As in ggml: C division truncates, so the remainder of a negative number is never 2.
    third = index >= eighth and (index - eighth) % 3 == 2
    return index < eighth or index >= 7 * count // 8 or third


HAS_EIGHT_EXPERTS = Condition("of a model with exactly 8 experts", lambda p: p.facts.experts == 8)
GROUPED = Condition(
    "where 4 or more query heads share one value head", lambda p: p.facts.grouping >= 4
)
SHARED = Condition(
    "where 4 or more query heads share one value head, or there are 4 or more experts",
    lambda p: p.facts.grouping >= 4 or p.facts.experts >= 4,
)
MORE = Condition(
    "in the first and last eighth and in every third layer between",
    lambda p: more_bits(p.index, p.count),
)
FIRST_EIGHTH = Condition("in the first eighth of the layers", lambda p: p.index < p.count // 8)
FIRST_SIXTEENTH = Condition("in the first sixteenth of the layers",
                            lambda p: p.index < p.count // 16)  # fmt: skip
MIDDLE = Condition(
    "in the middle three quarters of the layers",
    lambda p: p.count // 8 <= p.index < 7 * p.count // 8,
)
FIRST_2 = Condition("in the first two", lambda p: p.index < 2)
FIRST_4 = Condition("in the first four", lambda p: p.index < 4)
WEIGHTED = Condition("when there is an importance matrix", lambda p: p.importance)
UNWEIGHTED = Condition("when there is no importance matrix", lambda p: not p.importance)
FALCON = Condition("of Falcon", lambda p: p.facts.architecture == "falcon")
STACKED = Condition(
    "that are stacked experts",
    lambda p: (
        p.stacked
        and (p.facts.architecture != "bailingmoe3" or any(
            part in p.name for part in ("ffn_up", "ffn_gate", "ffn_down")))
    ),
)  # fmt: skip
UNEVEN = Condition(
    "whose rows are not a multiple of the base format's block", lambda p: not p.whole
)
SENSITIVE = Condition(
    "because they are sensitive in GLM5-NEXT",
    lambda p: (
        p.facts.architecture == "glm5-next"
        and any(part in p.name for part in ("attn_q_a", "attn_q_b", "nextn.eh_proj"))
    ),
)


@dataclass(frozen=True)
class PresetRule:
    """In some presets, tensors of a role get a format if all conditions hold."""

    presets: frozenset[str]
    #: None: tensors of any role.
    role: Role | None
    conditions: tuple[Condition, ...]
    #: None: the preset's base format.
    format: str | None


def _rule(
    presets: str, role: Role | None, format: str | None, *conditions: Condition
) -> PresetRule:
    names = {"ALL": " ".join(PRESETS), "LOW": LOW_BIT_PRESETS, "HIGH": OTHER_PRESETS}.get(
        presets, presets
    )
    return PresetRule(frozenset(names.split()), role, conditions, format)


LOW_BIT_PRESETS = "IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M"
OTHER_PRESETS = " ".join(
    name for name in PRESETS if name not in (*LOW_BIT_PRESETS.split(), "MXFP4_MOE")
)
_V, _K, _Q = Role.VALUES, Role.KEYS, Role.QUERIES
_OUT, _DOWN = Role.ATTENTION_OUTPUT, Role.FFN_DOWN
_HEAD, _EMBED = Role.OUTPUT, Role.TOKEN_EMBEDDING

RULES = (
    _rule("ALL", None, "Q8_0", SENSITIVE),
    # The output matrix, and the token embedding where it is the output matrix too.
    _rule("MXFP4_MOE", _HEAD, "Q8_0"),
    _rule("ALL", _HEAD, "Q8_0", FALCON),
    _rule("ALL", _HEAD, "Q8_0", UNEVEN),
    _rule("IQ1_S IQ1_M IQ2_XXS IQ2_XS IQ2_S IQ2_M IQ3_XXS", _HEAD, "Q5_K"),
    _rule("Q8_0", _HEAD, None),
    _rule("ALL", _HEAD, "Q6_K"),
    # Models with stacked experts in MXFP4.
    _rule("MXFP4_MOE", None, "MXFP4", STACKED),
    _rule("MXFP4_MOE", None, "Q8_0"),
    # A token embedding that is not the output matrix.
    _rule("IQ1_S IQ1_M IQ2_XXS IQ2_XS", _EMBED, "Q2_K"),
    _rule("IQ2_S IQ2_M IQ3_XXS", _EMBED, "IQ3_S"),
    _rule("TQ1_0 TQ2_0 Q2_0", _EMBED, "Q4_K"),
    # Values: the smallest and most sensitive matrices of attention.
    _rule("LOW", _V, "Q4_K", SHARED),
    _rule("IQ2_S IQ2_M", _V, "IQ3_S"),
    _rule("LOW", _V, "Q2_K"),
    _rule("HIGH", _V, "Q8_0", HAS_EIGHT_EXPERTS),
    _rule("Q2_K Q2_K_S IQ3_XXS IQ3_XS IQ3_S", _V, "Q4_K", GROUPED),
    _rule("Q2_K", _V, "Q3_K"),
    _rule("IQ3_XXS", _V, "IQ3_S", UNWEIGHTED),
    _rule("Q3_K_M", _V, "Q5_K", FIRST_2),
    _rule("Q3_K_M IQ3_M", _V, "Q4_K"),
    _rule("Q3_K_L", _V, "Q5_K"),
    _rule("IQ4_NL IQ4_XS", _V, "Q5_K", GROUPED),
    _rule("Q4_K_M Q5_K_M", _V, "Q6_K", MORE),
    _rule("Q4_K_S", _V, "Q5_K", FIRST_4),
    # Keys and queries.
    _rule("LOW", _K, "Q4_K", HAS_EIGHT_EXPERTS),
    _rule("HIGH", _K, "Q8_0", HAS_EIGHT_EXPERTS),
    _rule("IQ3_XS", _K, "IQ3_XXS"),
    _rule("IQ3_XXS", _K, "IQ2_S"),
    _rule("IQ3_XS", _Q, "IQ3_XXS"),
    _rule("IQ3_XXS", _Q, "IQ2_S"),
    # Attention outputs.
    _rule("LOW", _OUT, "Q5_K", HAS_EIGHT_EXPERTS),
    _rule("IQ1_S IQ1_M", _OUT, "IQ2_XXS"),
    _rule("IQ2_S IQ2_M", _OUT, "IQ3_S"),
    _rule("Q3_K_L", _OUT, "Q4_K", FALCON),
    _rule("HIGH", _OUT, None, FALCON),
    _rule("Q2_K Q3_K_S Q3_K_M Q4_K_S Q4_K_M IQ3_XXS IQ3_XS IQ3_S IQ3_M IQ4_NL IQ4_XS",
          _OUT, "Q5_K", HAS_EIGHT_EXPERTS),
    _rule("HIGH", _OUT, None, HAS_EIGHT_EXPERTS),
    _rule("Q2_K", _OUT, "Q3_K"),
    _rule("IQ3_XXS", _OUT, "IQ3_S"),
    _rule("Q3_K_M IQ3_M", _OUT, "Q4_K"),
    _rule("Q3_K_L", _OUT, "Q5_K"),
    # ffn_down.
    _rule("IQ2_S IQ2_M", _DOWN, "IQ3_S", FIRST_EIGHTH),
    _rule("LOW", _DOWN, "Q2_K", FIRST_EIGHTH),
    _rule("Q2_K", _DOWN, "Q3_K"),
    _rule("Q2_K_S", _DOWN, "Q4_K", FIRST_EIGHTH),
    _rule("IQ3_XXS", _DOWN, "Q4_K", UNWEIGHTED, FIRST_EIGHTH),
    _rule("IQ3_XXS", _DOWN, "Q3_K", UNWEIGHTED),
    _rule("Q3_K_M", _DOWN, "Q5_K", FIRST_SIXTEENTH),
    _rule("Q3_K_M", _DOWN, "Q4_K", FALCON, MORE),
    _rule("Q3_K_M", _DOWN, None, FALCON),
    _rule("Q3_K_M", _DOWN, "Q4_K"),
    _rule("IQ3_M", _DOWN, "Q4_K", FIRST_EIGHTH),
    _rule("IQ3_M", _DOWN, "Q4_K", HAS_EIGHT_EXPERTS, MORE),
    _rule("Q3_K_L", _DOWN, "Q4_K", FALCON),
    _rule("Q3_K_L", _DOWN, "Q5_K"),
    _rule("Q4_K_M", _DOWN, "Q6_K", FALCON, FIRST_SIXTEENTH),
    _rule("Q4_K_M", _DOWN, "Q5_K", FALCON, MORE),
    _rule("Q4_K_M Q4_K_S", _DOWN, None, FALCON),
    _rule("Q4_K_M Q5_K_M", _DOWN, "Q6_K", MORE),
    _rule("IQ4_NL IQ4_XS", _DOWN, "Q5_K", UNWEIGHTED, FIRST_EIGHTH),
    _rule("Q4_K_S", _DOWN, "Q5_K", FIRST_EIGHTH),
    _rule("Q4_0", _DOWN, "Q4_1", WEIGHTED, FIRST_EIGHTH),
    _rule("Q5_0", _DOWN, "Q5_1", WEIGHTED, FIRST_EIGHTH),
    # ffn_gate and ffn_up.
    _rule("IQ3_XS", Role.FFN_GATE, "IQ3_XXS", MIDDLE),
    _rule("IQ3_XS", Role.FFN_UP, "IQ3_XXS", MIDDLE),
)  # fmt: skip

RULES_OF = {
    (preset, role): [r for r in RULES if preset in r.presets and r.role in (None, role)]
    for preset in PRESETS
    for role in Role
}

# Formats that give noise without an importance matrix; llama.cpp refuses to write them without.
NEED_IMPORTANCE = frozenset({"IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS"})

# Replacement for a format whose block does not divide the row; if that does not either, F16.
FALLBACKS = {
    **dict.fromkeys(
        ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S", "IQ4_XS"), "IQ4_NL"
    ),
    **dict.fromkeys(("Q2_0", "Q2_K", "Q3_K", "TQ1_0", "TQ2_0"), "Q4_0"),
    "Q4_K": "Q5_0",
    "Q5_K": "Q5_1",
    "Q6_K": "Q8_0",
}


def find_preset(name: str) -> Preset | None:
    """Return the preset with this name or alias, in any case, or None for an unknown name."""
    name = name.upper()
    return PRESETS.get(ALIASES.get(name, name))


def find_rule(preset: Preset, role: Role, position: TensorPosition) -> PresetRule | None:
    """Return the first rule that applies, or None for the base format."""
    rules = RULES_OF[preset.name, role]
    return next((rule for rule in rules if all(c.holds(position) for c in rule.conditions)), None)
