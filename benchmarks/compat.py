"""Does every file that `zeropoint quantize` writes load in stock llama.cpp and generate text?

    python benchmarks/compat.py MODEL... [--to NAME,NAME] [--imatrix FILE] [--peer PYTHON]
        [--log FILE.jsonl]
    python benchmarks/compat.py --table FILE.jsonl > docs/compatibility.md

Each preset and format that can be encoded is made from each model. llama.cpp loads the file and
continues a prompt by 16 tokens. The log has one line of JSON per file; files that it already has
are skipped. PYTHON is an interpreter that has llama-cpp-python.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROMPT = "The capital of France is Paris. The capital of Italy is"
HEAD = """# Files in stock llama.cpp

This page lists files that `zeropoint quantize` wrote from real models and that stock llama.cpp
(llama-cpp-python {version}) loaded: one for each preset and format that zeropoint can encode.
llama.cpp continued the prompt "{prompt}" greedily. All
logits were finite, and the column "text" shows the continuation. The source models are quantized
files themselves. The table therefore shows that the files work and how large they are, not how good
they are. It was made by `python benchmarks/compat.py`. `make test-peer` does the same for every
preset and format with tiny models.
"""


def peer_side(path: str) -> None:
    """Load a file with llama.cpp, continue the prompt greedily, and print the text."""
    import llama_cpp
    import numpy as np

    model = llama_cpp.Llama(path, n_ctx=64, n_threads=2, verbose=False, logits_all=True)
    tokens = model.tokenize(PROMPT.encode())
    model.eval(tokens)
    finite = bool(np.isfinite(model.scores[: len(tokens)]).all())
    model.reset()
    text = model(PROMPT, max_tokens=16, temperature=0)["choices"][0]["text"]
    print(json.dumps({"finite": finite, "text": text, "llama_cpp": llama_cpp.__version__}))


def targets() -> list[str]:
    """Return every preset, and every format that has no preset of its name."""
    from zeropoint.formats import FORMATS
    from zeropoint.plans import PRESETS
    from zeropoint.plans.formats.presets import ALIASES

    skipped = {"COPY", "F64", "I8", "I16", "I32", "I64", *ALIASES}
    return [name for name in dict.fromkeys((*PRESETS, *FORMATS)) if name not in skipped]


def why_not(model: Path, to: str, imatrix: str | None) -> str | None:
    """Return why a target cannot be written, or None if it can; no process is started."""
    from zeropoint.checkpoints import open_model
    from zeropoint.errors import ZeropointError
    from zeropoint.quantizers import check_writable
    from zeropoint.verbs.options.quantize import QuantizeOptions
    from zeropoint.verbs.written_file import make_plan

    with open_model(model) as source:
        try:
            plan = make_plan(source, to, QuantizeOptions(imatrix=imatrix, requantize=True))
            check_writable(source, plan.choices, plan.options)
        except ZeropointError as error:
            return str(error)
    return None


def attempt(model: Path, to: str, peer: str, imatrix: str | None) -> dict[str, object]:
    """Write one file, and generate from it with llama.cpp."""
    row: dict[str, object] = {"model": model.stem, "to": to}
    if why := why_not(model, to, imatrix):
        return row | {"refused": why}
    with tempfile.TemporaryDirectory() as folder:
        output = f"{folder}/out.gguf"
        words = [sys.executable, "-m", "zeropoint", "quantize", str(model), output, "--to", to]
        words += ["--imatrix", imatrix] if imatrix else []
        ours = subprocess.run([*words, "--requantize", "--json"], capture_output=True, text=True)
        if ours.returncode:
            return row | {"refused": ours.stderr.strip().splitlines()[-1]}
        result = json.loads(ours.stdout)
        kept = ("output_bytes", "bits_per_weight", "seconds", "peak_memory_bytes")
        row |= {key: result[key] for key in kept}
        row["formats"] = sorted({tensor["format"] for tensor in result["tensors"]})
        theirs = subprocess.run(
            [peer, __file__, "--peer-side", output], capture_output=True, text=True
        )
        if theirs.returncode:
            return row | {"failed": theirs.stderr.strip()[-300:]}
        return row | json.loads(theirs.stdout)


def table(log: Path) -> str:
    """Return the log as a page."""
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    version = next(row["llama_cpp"] for row in rows if "llama_cpp" in row)
    lines = [HEAD.format(version=version, prompt=PROMPT)]
    for model in dict.fromkeys(row["model"] for row in rows):
        mine = [row for row in rows if row["model"] == model]
        good = [row for row in mine if row.get("finite") and row.get("text", "").strip()]
        tried = [row for row in mine if "refused" not in row]
        lines += [f"\n## {model}: {len(good)} of {len(tried)} files load and generate text\n"]
        lines += ["| `--to` | MiB | bits per weight | formats | text |", "|---|---|---|---|---|"]
        for row in tried:
            text = str(row.get("text", row.get("failed"))).replace("\n", "⏎").replace("|", "\\|")
            size = f"{row['output_bytes'] / 2**20:.1f} | {row['bits_per_weight']:.2f}"
            lines.append(f"| {row['to']} | {size} | {' '.join(row['formats'])} | {text.strip()} |")
        refused = [str(row["to"]) for row in mine if "refused" in row]
        if refused:
            lines.append(f"\nRefused with an error that names the reason: {', '.join(refused)}.")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Write and test every target of every model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--to", type=lambda text: text.split(","))
    parser.add_argument("--peer", default=sys.executable, help="a python with llama-cpp-python")
    parser.add_argument("--imatrix", help="for presets that need one, such as Q2_K_S")
    parser.add_argument("--log", type=Path, default=Path("compat.jsonl"))
    parser.add_argument("--seconds", type=float, default=1e9, help="begin no file after these")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--peer-side", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peer_side:
        peer_side(asked.peer_side)
        return
    if asked.table:
        print(table(asked.table), end="")
        return
    start, done = time.monotonic(), set()
    if asked.log.exists():
        done = {(r["model"], r["to"]) for r in map(json.loads, asked.log.read_text().splitlines())}
    for model in asked.models:
        for to in asked.to or targets():
            if (model.stem, to) in done:
                continue
            if time.monotonic() - start > asked.seconds:
                sys.exit("there is more to do: start it again")
            row = attempt(model, to, asked.peer, asked.imatrix)
            with asked.log.open("a") as log:
                print(json.dumps(row), file=log)
            print(json.dumps(row, ensure_ascii=False))


if __name__ == "__main__":
    main()
