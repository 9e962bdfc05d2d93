"""Is a file of `zeropoint quantize` closer to its reference than llama-quantize's of equal size?

    LLAMA_BIN=build/bin python benchmarks/kl_against_llama.py REFERENCE IMATRIX TEXT...
        [--presets Q2_K,Q3_K_M,pure:Q2_K,blocks:mxfp4] [--rounding nearest,feedback]
        [--calibration MOMENTS] [--chunks 8] [--threads 2] [--work DIR] [--log FILE.jsonl]
    python benchmarks/kl_against_llama.py --table FILE.jsonl

Both tools quantize REFERENCE (16 bits per weight) with the same imatrix; `feedback` reads the
second moments in MOMENTS too, which should be of the same text. A preset of `--presets` is one
that both tools know, `pure:PRESET` for one type in all matrices (llama-quantize --pure), or
`blocks:TYPE` for one type in the matrices of the layers and Q8_0 in the others. The script ends
with an error unless both files give every tensor the same format and number of bytes. The judge
is llama-perplexity: the mean KL divergence of the next-token distributions, in nats per token,
over the second halves of N chunks of 512 tokens of each text. The table has our mean divided by
llama.cpp's, with a 95 % interval that is paired by chunk. LLAMA_BIN is a build of llama.cpp with
llama-quantize and llama-perplexity. With --work, llama.cpp's quants and the reference's logits stay
in this folder, and another run with the same reference, imatrix and number of chunks uses them. A
row that the log already has is skipped.
"""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from parity import llama_perplexity

from zeropoint.checkpoints import open_checkpoint
from zeropoint.metrics.statistics import estimate

Row = dict[str, Any]
TOOLS = ("zeropoint", "llama.cpp")


def run(command: list[str]) -> None:
    """Run a command, and exit with the end of what it printed if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr[-2000:]}")


def quantize_theirs(words: argparse.Namespace, preset: str, output: Path) -> None:
    """Write llama-quantize's file of a preset."""
    kind, _, name = preset.rpartition(":")
    chosen = {
        "": [],
        "pure": ["--pure"],
        "blocks": ["--tensor-type", rf"blk\..*\.(attn|ffn)_.*={name}"],
    }[kind]
    command = [str(Path(os.environ["LLAMA_BIN"]) / "llama-quantize"), *chosen]
    command += ["--imatrix", str(words.imatrix), str(words.reference), str(output)]
    run([*command, "Q8_0" if kind == "blocks" else name, str(words.threads)])


def quantize_ours(
    words: argparse.Namespace, preset: str, rounding: str, theirs: Path, output: Path
) -> None:
    """Write our file of a preset, or with the formats of llama-quantize's file."""
    target = preset
    if ":" in preset:
        recipe = output.with_suffix(".recipe")
        rules = [f"{name} {format}" for name, (format, _) in layout(theirs).items()]
        recipe.write_text("\n".join(rules))
        target = str(recipe)
    command = [sys.executable, "-m", "zeropoint", "quantize", str(words.reference), str(output)]
    command += ["--to", target, "--imatrix", str(words.imatrix), "--rounding", rounding]
    command += ["--threads", str(words.threads), "--overwrite", "--quiet"]
    if rounding == "feedback":
        command += ["--calibration", str(words.calibration)]
    run(command)


def layout(path: Path) -> dict[str, tuple[str, int]]:
    """Return the format and the bytes of each tensor of a file."""
    with open_checkpoint(path) as checkpoint:
        return {
            name: (tensor.format.name, tensor.nbytes) for name, tensor in checkpoint.tensors.items()
        }


def divergences(output: str) -> list[float]:
    """Return the mean KL of each chunk from what llama-perplexity prints: means of all so far."""
    lines = re.findall(r"^ *\d+ +-?[\d.]+ ±.*$", output, re.MULTILINE)
    running = [float(re.findall(r"-?[\d.]+(?:e-?\d+)?", line)[5]) for line in lines]
    sums = [mean * (at + 1) for at, mean in enumerate(running)]
    return np.diff(sums, prepend=0.0).tolist()


def measure(words: argparse.Namespace, rows: list[Row]) -> None:
    """Make the quants of each preset, measure them on each text, print and log the rows.

    `rows` are what the log has already.
    """
    done = {(row["preset"], row["rounding"], row["text"]) for row in rows}
    with contextlib.ExitStack() as stack:
        folder = words.work or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = folder / "zeropoint.gguf"
        for preset in words.presets:
            theirs = folder / f"{preset.replace(':', '-')}.llama.cpp.gguf"
            # KL of llama.cpp's file, by text
            peer = {row["text"]: row["llama.cpp"] for row in rows if row["preset"] == preset}
            for rounding in words.rounding:
                texts = [t for t in words.texts if (preset, rounding, t.stem) not in done]
                if not texts:
                    continue
                if not theirs.exists():
                    quantize_theirs(words, preset, theirs)
                quantize_ours(words, preset, rounding, theirs, ours)
                row = {"model": words.reference.stem, "preset": preset, "rounding": rounding}
                row["tensor_bytes"] = bytes_of_both(ours, theirs)
                for text in texts:
                    if text.stem not in peer:
                        peer[text.stem] = kl_of_chunks(words, text, theirs, folder)
                    found = {"zeropoint": kl_of_chunks(words, text, ours, folder)}
                    whole = {**row, "text": text.stem, **found, "llama.cpp": peer[text.stem]}
                    print(line_of(whole), flush=True)
                    if words.log:
                        with words.log.open("a") as log:
                            print(json.dumps(whole), file=log)
            ours.unlink(missing_ok=True)


def bytes_of_both(ours: Path, theirs: Path) -> int:
    """Return the bytes of all tensors; exit where a tensor has another format or size."""
    layouts = layout(ours), layout(theirs)
    different = [name for name in layouts[0] if layouts[0][name] != layouts[1].get(name)]
    if different or len(layouts[0]) != len(layouts[1]):
        sys.exit(f"the two files differ in {len(different)} tensors: {different[:3]}")
    return sum(nbytes for _, nbytes in layouts[0].values())


def kl_of_chunks(words: argparse.Namespace, text: Path, quant: Path, folder: Path) -> list[float]:
    """Return the mean KL of each chunk by llama-perplexity, whose base file stays in `folder`."""
    base = folder / f"{text.stem}.kld"
    if not base.exists():
        chosen = ["-f", str(text), "--chunks", str(words.chunks), "-m", str(words.reference)]
        llama_perplexity(words.threads, [*chosen, "--kl-divergence-base", str(base)])
    judged = ["-m", str(quant), "--kl-divergence", "--kl-divergence-base", str(base)]
    return divergences(llama_perplexity(words.threads, judged))


def line_of(row: Row) -> str:
    """Return a row of the table."""
    ours, theirs = (np.array(row[tool]) for tool in TOOLS)
    ratio = estimate(ours, theirs)
    cells = [row["preset"], row.get("rounding", "nearest"), row["text"], f"{len(ours)}"]
    cells += [f"{ours.mean():.4f}", f"{theirs.mean():.4f}"]
    cells += [f"{ratio.mean:.3f} ({ratio.low:.3f} … {ratio.high:.3f})"]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, or print the table of a log."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reference", nargs="?", type=Path)
    parser.add_argument("imatrix", nargs="?", type=Path)
    parser.add_argument("texts", nargs="*", type=Path)
    parser.add_argument("--presets", default="Q2_K,Q3_K_M,Q4_K_M")
    parser.add_argument("--rounding", default="nearest")
    parser.add_argument("--calibration", metavar="MOMENTS", type=Path)
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--work", metavar="DIR", type=Path, help="existing folder for all files")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--table", type=Path, metavar="FILE.jsonl")
    words = parser.parse_args()
    words.presets, words.rounding = words.presets.split(","), words.rounding.split(",")
    log = words.table or words.log
    rows = (
        [json.loads(line) for line in log.read_text().splitlines()] if log and log.exists() else []
    )
    print(
        "| Preset | Rounding | Text | Chunks | KL, zeropoint | KL, llama.cpp "
        "| Ratio (95 % interval) |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print(line_of(row))
    if not words.table:
        if not words.texts:
            parser.error("give REFERENCE, IMATRIX and at least one TEXT")
        measure(words, rows)


if __name__ == "__main__":
    main()
