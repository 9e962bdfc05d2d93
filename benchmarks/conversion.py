"""Does a GGUF file keep its ids and logits as a Hugging Face folder and back?

    python benchmarks/conversion.py MODEL... --text FILE [--tokens 64] [--folder DIR]

Each file is written as a folder of float32 weights, and the folder as a GGUF file again (DIR needs
8 bytes per weight). The script prints a row of a table: how many strings and lines of text have
equal ids in the file, the file after both conversions, and transformers' AutoTokenizer; the
largest difference of logits (float32, exact) between the file and the file after both conversions;
and between the file and AutoModelForCausalLM, which runs in a process that cannot import
zeropoint.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

AWKWARD = [
    "", " ", "  a  b", "?\n\n", "a\n\rd", "it's IT'S it’s", "2026 12345 ١٢٣", "漢字かな交じり文",
    "नमस्ते สวัสดี", "🙂👩‍👩‍👧‍👦", "def f(x):\n\treturn x  # ok\n", "a\u0300\u0301",
    "\u3000全角", "<0x0A>", "http://example.com/a?b=c&d", "CamelCaseAndSNAKE_CASE",
    "𝕳𝖊𝖑𝖑𝖔", "C:\\path\\to",
]  # fmt: skip


def alone(folder: str, job: str, target: str) -> None:
    """Run as the child process, which has transformers and cannot import zeropoint."""
    import importlib.util

    import torch
    import transformers

    assert importlib.util.find_spec("zeropoint") is None, "zeropoint can be imported here"
    asked = json.loads(Path(job).read_text("utf-8"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
           for text in asked["texts"]]  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(torch.tensor([asked["tokens"]]), use_cache=False).logits[0].numpy()
    np.savez(target, logits=logits, ids=json.dumps(ids))


def convert(source: Path, target: Path) -> None:
    words = ["quantize", str(source), str(target), "--to", "F32", "--requantize", "-q"]
    subprocess.run(
        [sys.executable, "-m", "zeropoint", *words], check=True, stdout=subprocess.DEVNULL
    )


def measure(path: Path, texts: list[str], count: int, folder: Path) -> str:
    """Return a row of the table for one file."""
    from zeropoint.checkpoints import open_checkpoint
    from zeropoint.models import load_model

    def read(file: Path, tokens: list[int] | None) -> tuple[list[list[int]], np.ndarray, list[int]]:
        with open_checkpoint(file) as checkpoint:
            model = load_model(checkpoint, threads=2)
            tokens = tokens or model.tokenizer.encode(texts[-1], ends=True)[:count]
            ids = [model.tokenizer.encode(text) for text in texts]
            return ids, model.logits(tokens), tokens

    ids, logits, tokens = read(path, None)
    convert(path, folder / "hf")
    (folder / "job.json").write_text(json.dumps({"texts": texts, "tokens": tokens}), "utf-8")
    words = [__file__, "--alone", str(folder / "hf"), str(folder / "job.json"), str(folder / "a")]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run([sys.executable, *words], check=True, env=clean)
    found = np.load(folder / "a.npz")
    theirs = json.loads(str(found["ids"]))
    convert(folder / "hf", folder / "back.gguf")
    back_ids, back_logits, _ = read(folder / "back.gguf", tokens)
    same = [sum(a == b for a, b in zip(ids, other, strict=True)) for other in (back_ids, theirs)]
    apart = [np.abs(logits - other).max() for other in (back_logits, found["logits"])]
    return (
        f"| {path.stem} | {same[0]} of {len(ids)} | {same[1]} of {len(ids)} | {apart[0]:.1e} | "
        f"{apart[1]:.1e} | {logits.std():.1f} |"
    )


def main() -> None:
    if sys.argv[1:2] == ["--alone"]:
        return alone(*sys.argv[2:])
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    text = options.text.read_text("utf-8")[:20_000]
    texts = [*AWKWARD, *(line for line in text.splitlines() if line.strip()), text]
    for model in options.models:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(measure(model, texts, options.tokens, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
