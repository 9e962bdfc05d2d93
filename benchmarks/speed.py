"""Speed of each format compared with the same model in 16 bits, and with llama.cpp.

    python benchmarks/speed.py MODEL-BF16.gguf [--formats Q4_0,Q8_0] [--files FOLDER] [--peer]
        [--prompt 128] [--generate 16] [--repetitions 3] [--threads 2] [--markdown FILE]

Each format of --formats is made from MODEL unless FOLDER holds it as FORMAT.gguf (every matrix in
that format; TQ1_0 and TQ2_0 as their presets, with the head in Q6_K). Then this file, MODEL itself
and, with --peer, llama.cpp on the quant run alternately (zeropoint.metrics.speed.bench): ratios
are medians of pairs. `--only` compares one existing file with llama.cpp.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from zeropoint import kernels
from zeropoint.metrics.speed.bench import BenchRun, workload_of

FORMATS = (
    *("Q8_0", "Q6_K", "Q4_K", "Q4_0", "IQ4_XS", "MXFP4", "NVFP4"),
    *("Q3_K", "Q2_K", "TQ2_0", "TQ1_0"),
)
HEAD = (
    "| Format | File | × 16-bit | Prompt, tokens/s | Generation, tokens/s | of a plain read |"
    " Prompt × 16-bit | Generation × 16-bit | Prompt × llama.cpp | Generation × llama.cpp |\n"
    "|---|---|---|---|---|---|---|---|---|---|"
)


def make(model: str, format: str, folder: Path) -> Path:
    """Quantize every matrix of a model to one format, unless that file is there."""
    path = folder / f"{format}.gguf"
    if not path.exists():
        pure = [] if format.startswith("TQ") else ["--pure"]
        words = ["quantize", model, str(path), "--to", format, *pure, "-q"]
        subprocess.run([sys.executable, "-m", "zeropoint", *words], check=True)
    return path


def time_one(path: Path, versus: str | None, words: Any) -> dict[str, Any]:
    """Time one file, the 16-bit model and llama.cpp alternately."""
    workload = workload_of(
        prompt=words.prompt,
        generate=words.generate,
        repetitions=words.repetitions,
        threads=words.threads,
        mode="fast",
    )
    job = BenchRun(path, workload, versus=versus, peer="llama.cpp" if words.peer else None)
    for _ in job.run():
        pass
    return job.results().to_json()


def row(format: str, found: dict[str, Any]) -> str:
    """Return one line of the table."""

    def ratio(side: str, part: str) -> str:
        return f"{found[side]['ratio'][part]['median']:.2f}" if side in found else "-"

    size = found["file_bytes"]
    share = f"{size / found['vs']['file_bytes']:.2f}" if "vs" in found else "-"
    cells = [
        format,
        f"{size / 2**20:.0f} MiB",
        share,
        f"{found['prompt_tokens_per_second']:.1f}",
        f"{found['generation_tokens_per_second']:.1f}",
        f"{found['bandwidth_fraction']:.0%}",
        *(ratio(side, part) for side in ("vs", "peer") for part in ("prompt", "generation")),
    ]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Time all formats and print the table, line by line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--files", type=Path)
    parser.add_argument("--only", action="store_true")
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--generate", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    words = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {kernels.variant()}, {words.threads}")
    print(HEAD, flush=True)
    lines = []
    with tempfile.TemporaryDirectory() as scratch:
        for format in [Path(words.model).stem] if words.only else words.formats.split(","):
            folder = words.files or Path(scratch)
            path = Path(words.model) if words.only else make(words.model, format, folder)
            found = time_one(path, None if words.only else words.model, words)
            lines.append(row(format, found))
            print(lines[-1], flush=True)
            if words.json:
                with words.json.open("a") as log:
                    log.write(json.dumps({"format": format, **found}) + "\n")
            if words.files is None and not words.only:
                path.unlink()
    if words.markdown:
        words.markdown.write_text("\n".join([HEAD, *lines]) + "\n")


if __name__ == "__main__":
    main()
