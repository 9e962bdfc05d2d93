"""Write `presets.md` from the rules themselves: python docs/presets_page.py (a test compares)."""

import sys
from pathlib import Path
from types import SimpleNamespace

from zeropoint.checkpoints import NewTensor
from zeropoint.formats import find_format
from zeropoint.plans import PRESETS, RULES_VERSION, choose_formats
from zeropoint.plans.formats.presets import FALLBACKS, HIGH, LOW, RULES, PresetRule
from zeropoint.plans.formats.roles import NEVER

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))
from support.shape_parts import ModelShape, dense, mixture  # noqa: E402

MODELS = {
    "Gemma 3 270M": dense("gemma3", layers=18, width=640, heads=4, kv_heads=1, inner=2048,
                          vocabulary=262144, tied=True, size=256),
    "Qwen2.5 1.5B": dense("qwen2", layers=28, width=1536, heads=12, kv_heads=2, inner=8960,
                          vocabulary=151936, tied=True, bias=True),
    "Llama 3 8B": dense("llama", layers=32, width=4096, heads=32, kv_heads=8, inner=14336,
                        vocabulary=128256),
    "Mixtral 8x7B": mixture("llama", layers=32, width=4096, heads=32, kv_heads=8, inner=14336,
                            count=8, used=2, size=128),
}  # fmt: skip
MODELS["Mixtral 8x7B"].tensors = [
    (name, (32000, 4096) if shape == (512, 4096) else shape)
    for name, shape in MODELS["Mixtral 8x7B"].tensors
]

INTRODUCTION = f"""\
# Presets and recipes

<!-- Made by docs/presets_page.py; a test compares. -->

`zeropoint quantize MODEL OUTPUT --to WHAT` takes a preset, a recipe or a format. `--dry-run` shows
what each tensor would get and why, what the file would weigh to the byte, and the whole choice as a
recipe that can be saved, edited and given back to `--to`.

**Presets** are llama.cpp's, with the same format for every tensor ({RULES_VERSION}); its own
answers for 28 model shapes are compared in the tests. A name that is a preset and a format too
(Q4_0, Q6_K, IQ4_NL, Q4_K, …) is the preset. With `--pure` its base format goes to every quantizable
tensor (the base of IQ2_S is IQ2_XS, as in llama.cpp). A format without a preset (NVFP4, MXFP4,
INT4_SYM_G32, …) goes to every quantizable tensor too. The plan is made for any of them; whether a
format can be encoded here is another question, which `quantize` answers before it starts.

**Recipes** are text: a pattern over GGUF tensor names and a format on each line, first match wins.

    # values are small and sensitive
    blk.{{0..2,5}}.attn_v.weight   Q6_K
    blk.*.ffn_down.weight        Q5_K
    token_embd.weight            Q6_K
    *                            Q4_K

`*` is any text, `?` one character, `[abc]` and `[!abc]` one of these or none of them, and
`{{0..2,5,x}}` one of these numbers and words; `#` begins a comment. The format `keep` is the
source's. Every tensor that may be quantized needs a rule. Those that may not keep their format
whatever a recipe says:

NEVER_QUANTIZED

**Options** mean what they mean in llama-quantize: `--tensor-type PATTERN=TYPE` (a regular
expression in lower case, anywhere in the name, first match wins, only beside quantized formats),
`--output-tensor-type`, `--token-embedding-type`, `--leave-output-tensor`, `--pure`. The two types
named outright are never replaced: if the rows do not fit, that is an error.

**Rows that do not fit** into a format's blocks get another format, and the plan says so:

STAND_INS
- where that does not fit either, and for formats with blocks of 32 → F16
- Q1_0, NVFP4 and groups over 32 have no stand-in: that is an error that names the tensor

**Importance** is needed for IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S and IQ3_XXS, and for Q2_K within
the preset Q2_K_S: without it they would be noise. Token embedding and output never need it.

## Bits per weight

Of the tensors alone, without an importance matrix (IQ1 to IQ3: with one). A dash: a row does not
fit.

"""
RULE_INTRODUCTION = """
## Exceptions

Each preset gives its base format to every tensor but these; the first line that applies counts.
"Low" are {low}; "high" are all others but
MXFP4_MOE. Values are `attn_v`, `attn_qkv` and `attn_kv_b`. Layers count from 0; for values and for
dense models the number among tensors of the kind counts.
In models that llama.cpp calls 70B, Q3_K and Q4_K of values become Q5_K in the high presets.

| Preset | Tensors | Format | Where |
|---|---|---|---|
"""


def bits(model: ModelShape, preset: str) -> float | None:
    """Bits per weight over all tensors, or None if one does not fit."""
    source = SimpleNamespace(
        metadata=model.metadata(),
        tensors={
            name: NewTensor(name, shape, find_format("BF16" if len(shape) > 1 else "F32"))
            for name, shape in model.tensors
        },
    )
    if preset == "Q1_0" and any(s[-1] % 128 for _, s in model.tensors if len(s) > 1):
        return None
    choices = choose_formats(source, preset, imatrix=preset.startswith(("IQ1", "IQ2", "IQ3")))
    return 8 * sum(c.nbytes for c in choices) / sum(c.elements for c in choices)


def rule_row(rule: PresetRule) -> str:
    """One line of the table of exceptions."""
    groups = {frozenset(PRESETS): "all", frozenset(HIGH.split()): "high",
              frozenset(LOW.split()): "low"}  # fmt: skip
    presets = groups.get(rule.presets) or " ".join(p for p in PRESETS if p in rule.presets)
    where = " and ".join(condition.words for condition in rule.conditions) or "everywhere"
    who = rule.role.value if rule.role else "any"
    return f"| {presets} | {who} | {rule.format or 'the base'} | {where} |"


def render() -> str:
    """The whole page."""
    lines = [f"| Preset | Base | {' | '.join(MODELS)} |", "|---|---|" + "--:|" * len(MODELS)]
    for preset in PRESETS.values():
        if preset.base:
            found = [bits(model, preset.name) for model in MODELS.values()]
            cells = ["–" if value is None else f"{value:.2f}" for value in found]
            lines.append(f"| {preset.name} | {preset.base} | {' | '.join(cells)} |")
    kinds: dict[str, list[str]] = {}
    for name, stand_in in FALLBACKS.items():
        kinds.setdefault(stand_in, []).append(name)
    fallbacks = "\n".join(f"- {', '.join(names)} → {to}" for to, names in kinds.items())
    never = ["- vectors, and names that do not end with `weight`"]
    for parts, reason in NEVER:
        names = ", ".join(f"`{part.removesuffix('$')}`" for part in parts)
        never.append(f"- {names}: {reason}")
    introduction = INTRODUCTION.replace("NEVER_QUANTIZED", "\n".join(never))
    introduction = introduction.replace("STAND_INS", fallbacks)
    rules = RULE_INTRODUCTION.format(low=", ".join(LOW.split()))
    return introduction + "\n".join(lines) + "\n" + rules + "\n".join(map(rule_row, RULES)) + "\n"


if __name__ == "__main__":
    (HERE / "presets.md").write_text(render())
