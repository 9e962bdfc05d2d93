"""Writes presets.md from the rules of presets: python docs/presets_page.py (a test compares)."""

import sys
from pathlib import Path
from types import SimpleNamespace

from zeropoint.checkpoints import NewTensor
from zeropoint.formats import find_format
from zeropoint.plans import PRESETS, RULES_VERSION, choose_formats
from zeropoint.plans.formats.presets import (
    FALLBACKS,
    LOW_BIT_PRESETS,
    OTHER_PRESETS,
    RULES,
    PresetRule,
)
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

`zeropoint quantize MODEL OUTPUT --to TARGET` takes a preset, a recipe or a format. `--dry-run`
shows the format of each tensor with its reason, the size of the file to the byte, and all choices
as a recipe that can be saved, edited and given to `--to`.

**Presets** are those of llama.cpp and give every tensor the same format ({RULES_VERSION}). The
tests compare them with the choices of llama.cpp for 28 model shapes. A name of both a preset and a
format (Q4_0, Q6_K, IQ4_NL, Q4_K, …) is the preset. With `--pure`, every tensor that may be
quantized gets the base format of the preset. The base of a preset can have another name: as in
llama.cpp, it is IQ2_S for the preset IQ2_M and IQ2_XS for the preset IQ2_S, so that
`--to IQ2_M --pure` stores IQ2_S everywhere; the recipe `* IQ2_S` does the same. A format without
a preset (NVFP4, MXFP4, INT4_SYM_G32, …) is given to every tensor that may be quantized, too.
Formats can be chosen even where zeropoint has no encoder; `quantize` refuses such a format before
it starts.

**Recipes** are text. Each line is a rule: a pattern for GGUF tensor names, and a format. The first
rule that matches a tensor wins.

    # values are small and sensitive
    blk.{{0..2,5}}.attn_v.weight   Q6_K
    blk.*.ffn_down.weight        Q5_K
    token_embd.weight            Q6_K
    *                            Q4_K

`*` matches any text, `?` one character, `[abc]` one of these characters, `[!abc]` any other
character, and `{{0..2,5,x}}` one of these numbers and words. `#` starts a comment. The format
`keep` is the format of the source. Every tensor that may be quantized needs a rule. These tensors
are never quantized, whatever a recipe says:

NEVER_QUANTIZED

**Options** mean the same as in llama-quantize: `--tensor-type PATTERN=TYPE`,
`--output-tensor-type`, `--token-embedding-type`, `--leave-output-tensor` and `--pure`. PATTERN is a
regular expression in lower case that may match anywhere in the name; the first match wins, and it
applies only with quantized formats. The formats of `--output-tensor-type` and
`--token-embedding-type` have no fallback: rows that do not fit are an error.

**Fallbacks** replace a format whose blocks do not divide the rows of a tensor:

FALLBACK_LIST
- if that does not fit either, and for formats with blocks of 32 weights → F16
- Q1_0, NVFP4 and groups of more than 32 weights have no fallback: an error names the tensor

**An importance matrix** is required for IQ1_S, IQ1_M, IQ2_XXS, IQ2_XS, IQ2_S and IQ3_XXS, and for
Q2_K in the preset Q2_K_S, which give noise without one. Give it with `--imatrix FILE`, which
`zeropoint calibrate` writes, or let `quantize` collect importance from a text with `--text FILE`.
Without either, `quantize` refuses these formats, as llama-quantize does. The token embedding and
the output matrix do not need it.

## Bits per weight

The table counts the tensors alone, without header and vocabulary. It assumes an importance matrix
for IQ1 to IQ3 and none for the other presets. A dash means that a row does not fit.

"""
RULE_INTRODUCTION = """
## Rules that deviate from the base format

Each preset gives its base format to every tensor except these. The first line that applies wins.
"Low" presets are {low}; "high" presets
are all others except MXFP4_MOE. Values are `attn_v`, `attn_qkv` and `attn_kv_b`. Layers are counted
from 0; for values, and in dense models, tensors of the same role are counted instead.
In models that llama.cpp calls 70B, values with Q3_K or Q4_K get Q5_K in the high presets.

| Preset | Tensors | Format | Where |
|---|---|---|---|
"""


def bits(model: ModelShape, preset: str) -> float | None:
    """Return the bits per weight of all tensors, or None if a row does not fit."""
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
    """Return one line of the table of rules."""
    groups = {frozenset(PRESETS): "all", frozenset(OTHER_PRESETS.split()): "high",
              frozenset(LOW_BIT_PRESETS.split()): "low"}  # fmt: skip
    presets = groups.get(rule.presets) or " ".join(p for p in PRESETS if p in rule.presets)
    where = " and ".join(condition.words for condition in rule.conditions) or "everywhere"
    tensors = rule.role.value if rule.role else "any"
    return f"| {presets} | {tensors} | {rule.format or 'the base format'} | {where} |"


def render() -> str:
    """Return the whole page."""
    lines = [f"| Preset | Base | {' | '.join(MODELS)} |", "|---|---|" + "--:|" * len(MODELS)]
    for preset in PRESETS.values():
        if preset.base:
            values = [bits(model, preset.name) for model in MODELS.values()]
            cells = ["–" if value is None else f"{value:.2f}" for value in values]
            lines.append(f"| {preset.name} | {preset.base} | {' | '.join(cells)} |")
    kinds: dict[str, list[str]] = {}
    for name, fallback in FALLBACKS.items():
        kinds.setdefault(fallback, []).append(name)
    fallbacks = "\n".join(f"- {', '.join(names)} → {to}" for to, names in kinds.items())
    never = ["- vectors, and names that do not end with `weight`"]
    for parts, reason in NEVER:
        names = ", ".join(f"`{part.removesuffix('$')}`" for part in parts)
        never.append(f"- {names}: {reason}")
    introduction = INTRODUCTION.replace("NEVER_QUANTIZED", "\n".join(never))
    introduction = introduction.replace("FALLBACK_LIST", fallbacks)
    rules = RULE_INTRODUCTION.format(low=", ".join(LOW_BIT_PRESETS.split()))
    return introduction + "\n".join(lines) + "\n" + rules + "\n".join(map(rule_row, RULES)) + "\n"


if __name__ == "__main__":
    (HERE / "presets.md").write_text(render())
