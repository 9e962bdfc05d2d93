"""Ask llama.cpp which format it would give each tensor, and write `presets.json`.

Run with a Python that has llama-cpp-python and gguf (0.3.36 made the file that is checked in):

    PYTHONPATH=tests python tests/golden/make_presets.py [OUTPUT]

Each shape of `tests/support/model_shapes.py` becomes a GGUF file whose weights are a hole in the
file; `llama_model_quantize` with `dry_run` logs what it would do. Nothing of zeropoint runs.
"""

import ctypes
import itertools
import json
import re
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np

from support.model_shapes import SHAPES, ModelShape, role_and_layer, source_format

HERE = Path(__file__).resolve().parent

PRESETS = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10,
    "Q3_K_S": 11, "Q3_K_M": 12, "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16,
    "Q5_K_M": 17, "Q6_K": 18, "IQ2_XXS": 19, "IQ2_XS": 20, "Q2_K_S": 21, "IQ3_XS": 22,
    "IQ3_XXS": 23, "IQ1_S": 24, "IQ4_NL": 25, "IQ3_S": 26, "IQ3_M": 27, "IQ2_S": 28, "IQ2_M": 29,
    "IQ4_XS": 30, "IQ1_M": 31, "BF16": 32, "TQ1_0": 36, "TQ2_0": 37, "MXFP4_MOE": 38, "Q1_0": 40,
    "Q2_0": 41,
}  # fmt: skip
LETTERS = {
    name: letter
    for name, letter in zip(
        ("F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ1_S IQ1_M IQ2_XXS "
         "IQ2_XS IQ2_S IQ3_XXS IQ3_S IQ4_NL IQ4_XS TQ1_0 TQ2_0 MXFP4 NVFP4 Q1_0 Q2_0").split(),
        "abcdefghijklmnopqrstuvwxyzAB", strict=True,
    )
}  # fmt: skip
# Options beside a preset: (shape, preset, importance, options of llama-quantize).
OPTIONS: list[tuple[str, str, bool, dict[str, object]]] = [
    ("gemma3-270m", "Q4_K_M", False, {"pure": True}),
    ("gemma3-270m", "IQ2_S", True, {"pure": True}),
    ("gemma3-270m", "Q4_K_M", False, {"output_tensor_type": "Q8_0"}),
    ("gemma3-270m", "Q4_K_M", False, {"output_tensor_type": "Q8_0", "pure": True}),
    ("gemma3-270m", "Q4_K_M", False, {"token_embedding_type": "Q5_0"}),
    ("gemma3-270m", "F16", False, {"token_embedding_type": "Q8_0"}),
    ("gemma3n", "Q3_K_M", False, {"token_embedding_type": "Q5_0"}),
    ("gemma3n", "Q3_K_M", False, {
        "token_embedding_type": "Q5_0", "tensor_types": [("per_layer", "Q6_K")]}),
    ("gemma3n", "Q3_K_M", False, {"output_tensor_type": "Q4_0"}),
    ("llama-28", "Q4_K_M", False, {"output_tensor_type": "Q5_K", "token_embedding_type": "Q3_K"}),
    ("llama-28", "Q4_K_M", False, {"quantize_output_tensor": False}),
    ("llama-28", "Q8_0", False, {"only_copy": True}),
    # A pattern takes tensors away from the rules, and from what the rules count.
    ("llama-28", "Q4_K_M", False, {"tensor_types": [(r"blk\.[0-3]\.attn_v", "Q8_0")]}),
    ("llama-28", "Q3_K_M", False, {"tensor_types": [(r"blk\.0\..*ffn_down", "Q8_0")]}),
    ("llama-28", "Q4_K_S", False, {"tensor_types": [("attn_v", "Q4_K"), ("attn", "Q3_K")]}),
    ("llama-28", "F16", False, {"tensor_types": [("attn", "Q3_K")]}),
    ("llama-28", "Q4_K_M", False, {"tensor_types": [("ffn_(up|gate)", "Q3_K")], "pure": True}),
    ("llama-28", "Q4_K_M", False, {"tensor_types": [(r"^(output|token_embd)\.weight$", "F16")]}),
    ("qwen3-moe-128", "Q4_K_M", True, {
        "tensor_types": [("exps", "IQ2_XXS"), ("gate_inp", "Q4_0")]}),
    ("smollm2-135m", "Q5_K_M", False, {"tensor_types": [("attn_k", "Q4_K"), ("attn_q", "BF16")]}),
    ("smollm2-135m", "Q4_K_M", False, {"tensor_types": [("attn_k", "NVFP4"), ("attn_q", "TQ2_0")]}),
    ("mixtral-8x7b", "Q4_K_M", False, {"tensor_types": [("attn_v", "Q4_K")]}),
    ("qwen2-1.5b-untied", "Q3_K_M", False, {"tensor_types": [("[[:digit:]]{2}.attn_v", "Q4_K")]}),
]  # fmt: skip
LINE = re.compile(
    r"\[ *\d+/ *\d+\] +(\S+) +- \[[^]]*\], type = *(\S+), size = .*?MiB(?: -> .*?MiB \((\S+)\))?$"
)


def write_hollow(path: Path, model: ModelShape) -> None:
    """Write the header of a model and leave a hole where its weights would be."""
    writer = gguf.GGUFWriter(None, model.architecture)
    for key, value in model.metadata().items():
        if key == "general.architecture":
            continue
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        else:
            writer.add_array(key, value)
    sizes = {"F32": 4, "F16": 2, "BF16": 2}
    total = 0
    for name, shape in model.tensors:
        kind = source_format(model, name, shape)
        nbytes = sizes[kind] * int(np.prod(shape))
        writer.add_tensor_info(
            name, shape, np.dtype(np.float32), nbytes, gguf.GGMLQuantizationType[kind]
        )
        total += (nbytes + 31) // 32 * 32
    writer.write_header_to_file(path)
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()
    with path.open("r+b") as file:
        file.seek(0, 2)
        file.truncate((file.tell() + 31) // 32 * 32 + total)


LOG: list[str] = []


@llama_cpp.llama_log_callback
def collect(level: int, text: bytes, data: object) -> None:
    """Keep what llama.cpp says."""
    LOG.append(text.decode("utf-8", "replace"))


def ask(path: Path, ftype: int, *, importance: bool, **options: object) -> dict[str, str] | str:
    """Return name → format, or llama.cpp's reason to refuse."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.dry_run, params.nthread = ftype, True, 1
    for key, value in options.items():
        if key == "tensor_types":
            assert isinstance(value, list)
            entry = llama_cpp.llama_cpp.llama_model_tensor_override
            rows = [entry(p.encode(), int(gguf.GGMLQuantizationType[t])) for p, t in value]
            params.tt_overrides = (entry * (len(rows) + 1))(*rows, entry(None, 0))
        elif key.endswith("_type"):
            setattr(params, key, int(gguf.GGMLQuantizationType[value]))
        else:
            setattr(params, key, value)
    one = (ctypes.c_float * 1)(1.0)
    entry = llama_cpp.llama_cpp.llama_model_imatrix_data
    if importance:
        params.imatrix = (entry * 2)(entry(b"nothing", one, 1), entry(None, None, 0))
    LOG.clear()
    failed = llama_cpp.llama_model_quantize(
        str(path).encode(), b"/dev/null/nowhere", ctypes.byref(params)
    )
    text = "".join(LOG)
    if failed:
        return text.strip().splitlines()[-1].split(": ")[-1]
    found = {}
    for line in text.splitlines():
        if match := LINE.search(line):
            name, before, after = match.groups()
            found[name] = (after or before).upper()
    return found


def compact(found: dict[str, str] | str) -> str:
    """Letters with run lengths, tensors ordered by role and then by layer ("a30 k12m"); or the
    reason to refuse after an exclamation mark.
    """
    if isinstance(found, str):
        return "!" + found
    names = sorted(found, key=role_and_layer)
    runs = itertools.groupby(LETTERS[found[name]] for name in names)
    return "".join(
        letter + (str(count) if (count := len(list(run))) > 1 else "") for letter, run in runs
    )


def main() -> None:
    """Write presets.json beside this file, or where the one argument says."""
    llama_cpp.llama_log_set(collect, ctypes.c_void_p(0))
    answers: dict[str, dict[str, str]] = {}
    options = []
    with tempfile.TemporaryDirectory() as folder:
        for title, build in SHAPES.items():
            model = build()
            path = Path(folder) / "model.gguf"
            write_hollow(path, model)
            answers[title] = {}
            for preset, ftype in PRESETS.items():
                without = compact(ask(path, ftype, importance=False))
                weighted = compact(ask(path, ftype, importance=True))
                answers[title][preset] = without
                if weighted != without:
                    answers[title][preset + "+imatrix"] = weighted
            for shape, preset, importance, given in OPTIONS:
                if shape == title:
                    found = ask(path, PRESETS[preset], importance=importance, **given)
                    options.append([shape, preset, importance, given, compact(found)])
            sys.stderr.write(f"{title}: {len(model.tensors)} tensors\n")
            path.unlink()
    with Path(sys.argv[1] if sys.argv[1:] else HERE / "presets.json").open("w") as file:
        json.dump({"letters": LETTERS, "answers": answers, "options": options}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
