"""Distance of our logits and llama.cpp's from exact ones, on the same file and tokens.

    python benchmarks/exactness.py MODEL... [--to FORMAT,...] --text FILE --peer PYTHON
        [--tokens 512] [--skip 0] [--double 0] [--fast-only] [--log FILE.jsonl]

For each file (or each FORMAT made of it) prints, over the full vocabulary and in float64:

    KL(exact ‖ ours)         our `fast` mode from our `exact` one, nats per token
    KL(exact ‖ llama.cpp)    llama.cpp from our `exact` mode, as it runs by default
    KL(llama.cpp ‖ ours)     between the two runtimes
    top-1                    positions where the runtimes have a different most likely token, and
                             the largest gap in nats between the two best logits at one of them

and with --double N, on the first N tokens, the largest distance from logits computed in float64 of
`exact`, and of transformers in float32: the modules of transformers on the decoded weights, which
it loads by itself from the folder that `zeropoint quantize FILE FOLDER --to F32` writes.

PYTHON is an interpreter that has llama-cpp-python. `--double` needs PYTHONPATH=tests
(tests/support).
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROWS = 32  # positions that are widened to float64 at a time


def peer_side(path: str, tokens: str, target: str) -> None:
    """Run as the child process with llama.cpp, and write its logits of all positions."""
    import llama_cpp

    ids = json.loads(Path(tokens).read_text())
    model = llama_cpp.Llama(
        path, n_ctx=len(ids), n_threads=2, n_threads_batch=2, verbose=False, logits_all=True
    )
    model.eval(ids)
    np.save(target, np.asarray(model.scores[: len(ids)], np.float32))


def peer_logits(python: str, path: Path, ids: list[int], folder: Path) -> np.ndarray:
    """Return llama.cpp's logits, from a process of its own."""
    (folder / "tokens.json").write_text(json.dumps(ids))
    target = folder / "peer.npy"
    words = [python, __file__, "--peer-side", str(path), str(folder / "tokens.json"), str(target)]
    subprocess.run(words, check=True)
    return np.load(target, mmap_mode="r")


def in_float64(*logits: np.ndarray) -> Iterator[list[np.ndarray]]:
    """Yield slices of positions of each array, as log-probabilities in float64."""
    for at in range(0, len(logits[0]), ROWS):
        parts = [np.asarray(array[at : at + ROWS], np.float64) for array in logits]
        parts = [part - part.max(1, keepdims=True) for part in parts]
        yield [part - np.log(np.exp(part).sum(1, keepdims=True)) for part in parts]


def divergence(reference: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return KL(reference ‖ other) of each row of log-probabilities."""
    return (np.exp(reference) * (reference - other)).sum(1)


def gap(rows: np.ndarray) -> np.ndarray:
    """Return the difference between the two largest values of each row."""
    best = np.partition(rows, rows.shape[1] - 2)[:, -2:]
    return np.abs(best[:, 1] - best[:, 0])


def compare(runs: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return the figures of the runs of the same tokens: "fast", "peer", and maybe "exact"."""
    kl: dict[str, list[float]] = {}
    gaps: dict[str, list[float]] = {}
    pairs = {"between": ("peer", "fast"), "ours": ("exact", "fast"), "llama.cpp": ("exact", "peer")}
    for parts in in_float64(*runs.values()):
        rows = dict(zip(runs, parts, strict=True))
        for name, (reference, other) in pairs.items():
            if reference in rows:
                kl.setdefault(name, []).extend(divergence(rows[reference], rows[other]).tolist())
        for name in rows.keys() - {"peer"}:
            differs = rows[name].argmax(1) != rows["peer"].argmax(1)
            larger = np.maximum(gap(rows[name]), gap(rows["peer"]))
            gaps.setdefault(name, []).extend(larger[differs].tolist())
    found: dict[str, Any] = {f"kl {name}": float(np.mean(values)) for name, values in kl.items()}
    for name, values in gaps.items():
        found[f"top-1 {name}"] = len(values)
        found[f"gap {name}"] = max(values, default=0.0)
    return found


def from_double(path: Path, ids: list[int], exact: np.ndarray, folder: Path) -> dict[str, Any]:
    """Return the largest errors of `exact` and of transformers in float32, against its float64."""
    import torch
    import transformers

    words = ["quantize", str(path), str(folder / "wide"), "--to", "F32", "--requantize", "-q"]
    subprocess.run(
        [sys.executable, "-m", "zeropoint", *words], check=True, stdout=subprocess.DEVNULL
    )
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "wide", dtype=torch.float32, attn_implementation="eager"
    ).eval()
    from support.float64_models import in_double

    tokens = torch.tensor([ids])
    with torch.no_grad():
        single = model(tokens, use_cache=False).logits[0].numpy()
        double = in_double(model, tokens)[0]
    ours, theirs = (np.abs(part - double).max() for part in (exact, single))
    return {"ours from float64": float(ours), "transformers from float64": float(theirs)}


def measure(path: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return all figures of one file."""
    from zeropoint.checkpoints import open_checkpoint
    from zeropoint.models import load_model

    with tempfile.TemporaryDirectory() as name, open_checkpoint(path) as checkpoint:
        model = load_model(checkpoint, mode="exact", threads=2)
        stop = options.skip + options.tokens
        text = options.text.read_text("utf-8")[: 16 * stop]
        ids = model.tokenizer.encode(text, ends=True)[options.skip : stop]
        runs = {} if options.fast_only else {"exact": model.logits(ids)}
        model.mode = "fast"  # type: ignore[misc]
        runs["fast"] = model.logits(ids)
        runs["peer"] = peer_logits(options.peer, path, ids, Path(name))
        found: dict[str, Any] = {"tokens": len(ids), **compare(runs)}
        if options.double and not options.fast_only:
            few = ids[: options.double]
            found |= {"double": len(few)}
            found |= from_double(path, few, runs["exact"][: len(few)], Path(name))
    return found


def files(options: argparse.Namespace) -> Iterator[tuple[str, Path]]:
    """Yield a name and a path for each file to measure; temporary files are deleted afterwards."""
    for model in options.models:
        if not options.to:
            yield model.stem, model
        for to in filter(None, options.to.split(",")):
            with tempfile.TemporaryDirectory() as folder:
                output = Path(folder) / f"{model.stem}-{to}.gguf"
                words = ["quantize", str(model), str(output), "--to", to, "--requantize", "-q"]
                subprocess.run(
                    [sys.executable, "-m", "zeropoint", *words],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
                yield output.stem, output


def show(name: str, row: dict[str, Any]) -> str:
    """Return a row of the table."""
    cells = [name]
    if "kl ours" in row:
        ours, theirs = row["kl ours"], row["kl llama.cpp"]
        cells += [f"{ours:.5f}", f"{theirs:.5f}", f"{ours / theirs:.2f}"]
    cells += [f"{row['kl between']:.5f}"]
    cells += [f"{row['top-1 fast']} of {row['tokens']} ({row['gap fast']:.2f})"]
    if "double" in row:
        mine, single = row["ours from float64"], row["transformers from float64"]
        cells += [f"{mine:.1e}", f"{single:.1e}", f"{mine / single:.2f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    if sys.argv[1:2] == ["--peer-side"]:
        return peer_side(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--to", default="")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--peer", default=sys.executable)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--double", type=int, default=0)
    parser.add_argument("--fast-only", action="store_true")
    parser.add_argument("--log", type=Path)
    options = parser.parse_args()
    for name, path in files(options):
        row = {"file": name, **measure(path, options)}
        print(show(name, row), flush=True)
        if options.log:
            with options.log.open("a") as log:
                print(json.dumps(row), file=log)


if __name__ == "__main__":
    main()
