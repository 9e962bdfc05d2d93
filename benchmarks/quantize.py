"""Time, processor time and memory of `zeropoint quantize` compared with llama-quantize.

    LLAMA_BIN=build/bin python benchmarks/quantize.py MODEL [--imatrix FILE] [--presets Q4_K_M,…]
        [--pairs 5] [--threads 2] [--work DIR] [--log FILE.jsonl]
    python benchmarks/quantize.py --table FILE.jsonl

Both programs write the same preset from MODEL (16 bits per weight), one after the other, as whole
processes: start, imports, and on our side also the hash of the source and the fsync, which llama-
quantize does not have. MODEL is read once before, so that it is in the page cache. The figure is
the median over the pairs of llama-quantize's seconds divided by ours. Seconds count only from an
idle machine. Processor seconds, of all threads together, depend less on other programs. LLAMA_BIN
is a build of llama.cpp with llama-quantize. Presets that need an imatrix are left out without one.
The log gets one line of JSON for each preset; a preset that it already has is skipped.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

K_PRESETS = (
    *("Q2_K", "Q3_K_S", "Q3_K_M", "Q3_K_L", "Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q6_K"),
)
IQ_PRESETS = (
    *("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M"),
    *("IQ3_XXS", "IQ3_XS", "IQ3_S", "IQ3_M", "IQ4_XS", "IQ4_NL"),
)
NEED_IMATRIX = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ2_M", "IQ3_XXS")
READ_BYTES = 1 << 24
Row = dict[str, Any]


def run(command: list[str]) -> dict[str, float]:
    """Run a program to its end; return its seconds, processor seconds and peak memory in bytes."""
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - start
        if process.returncode:
            output.seek(0)
            sys.exit(f"{' '.join(command)}: {output.read().decode(errors='replace')[-2000:]}")
    return {
        "seconds": seconds,
        "processor_seconds": usage.ru_utime + usage.ru_stime,
        "peak_memory_bytes": usage.ru_maxrss * 1024,
    }


def ours(words: argparse.Namespace, preset: str, output: Path) -> list[str]:
    """Return our command."""
    imatrix = ["--imatrix", words.imatrix] if words.imatrix else []
    command = [sys.executable, "-m", "zeropoint", "quantize", words.model, str(output)]
    command += ["--to", preset, "--threads", str(words.threads), "--overwrite", *imatrix]
    return [*command, "--json", "--progress=none"]


def theirs(words: argparse.Namespace, preset: str, output: Path) -> list[str]:
    """Return llama-quantize's command."""
    imatrix = ["--imatrix", words.imatrix] if words.imatrix else []
    program = str(Path(os.environ["LLAMA_BIN"]) / "llama-quantize")
    return [program, *imatrix, words.model, str(output), preset, str(words.threads)]


def compare(words: argparse.Namespace, preset: str, folder: Path) -> Row:
    """Run both programs alternately."""
    pairs = []
    for number in range(words.pairs):
        outputs = folder / "ours.gguf", folder / "theirs.gguf"
        pair = run(ours(words, preset, outputs[0])), run(theirs(words, preset, outputs[1]))
        pairs.append(pair)
        print(
            f"{preset} {number + 1}/{words.pairs}: ours {pair[0]['seconds']:.1f} s,"
            f" llama-quantize {pair[1]['seconds']:.1f} s",
            file=sys.stderr,
        )
        sizes = [path.stat().st_size for path in outputs]
        for path in outputs:
            path.unlink()

    def ratios(figure: str) -> list[float]:
        return [b[figure] / a[figure] for a, b in pairs]

    def median(side: int, figure: str) -> float:
        return statistics.median(pair[side][figure] for pair in pairs)

    return {
        "model": Path(words.model).name,
        "preset": preset,
        "imatrix": bool(words.imatrix),
        "threads": words.threads,
        "pairs": words.pairs,
        "seconds": median(0, "seconds"),
        "peer_seconds": median(1, "seconds"),
        "times_faster": statistics.median(ratios("seconds")),
        "times_faster_range": [min(ratios("seconds")), max(ratios("seconds"))],
        "processor_seconds": median(0, "processor_seconds"),
        "peer_processor_seconds": median(1, "processor_seconds"),
        "processor_ratio": statistics.median(ratios("processor_seconds")),
        "peak_memory_bytes": max(pair[0]["peak_memory_bytes"] for pair in pairs),
        "peer_peak_memory_bytes": max(pair[1]["peak_memory_bytes"] for pair in pairs),
        "output_bytes": sizes[0],
        "peer_output_bytes": sizes[1],
    }


def key(row: Row) -> tuple[Any, ...]:
    """Return what identifies a comparison in the log."""
    return row["model"], row["preset"], row["imatrix"], row["threads"]


def table(rows: list[Row]) -> str:
    """Return the rows as a table in Markdown, and the medians over the K presets."""
    lines = [
        "| Preset | Imatrix | Ours, s | llama-quantize, s | Times as fast (range) |"
        " Processor s, ours | llama-quantize | Peak memory, MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row["times_faster_range"]
        lines.append(
            f"| {row['preset']} | {'yes' if row['imatrix'] else 'no'} | {row['seconds']:.1f} |"
            f" {row['peer_seconds']:.1f} | {row['times_faster']:.2f} ({low:.2f} … {high:.2f}) |"
            f" {row['processor_seconds']:.1f} | {row['peer_processor_seconds']:.1f} |"
            f" {row['peak_memory_bytes'] / 2**20:.0f} |"
        )
    for imatrix in (False, True):
        ratios = [
            row["times_faster"]
            for row in rows
            if row["imatrix"] == imatrix and row["preset"] in K_PRESETS
        ]
        if ratios:
            lines.append(
                f"\nK presets {'with' if imatrix else 'without'} an imatrix: median"
                f" {statistics.median(ratios):.2f}, minimum {min(ratios):.2f}"
            )
    return "\n".join(lines)


def logged(path: Path | None) -> list[Row]:
    """Return the rows of a log."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_through(model: str) -> None:
    """Read a file once, so that it is in the page cache."""
    with Path(model).open("rb") as file:
        while file.read(READ_BYTES):
            pass


def main() -> None:
    """Compare, or print the table of a log."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?")
    parser.add_argument("--imatrix")
    parser.add_argument("--presets", default=",".join((*K_PRESETS, *IQ_PRESETS)))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, help="a folder for the outputs")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--table", type=Path, metavar="LOG")
    words = parser.parse_args()
    if words.table:
        print(table(logged(words.table)))
        return
    if not words.model:
        parser.error("MODEL is missing")
    rows = logged(words.log)
    known = {key(row) for row in rows}
    name = Path(words.model).name
    with tempfile.TemporaryDirectory(dir=words.work) as folder:
        for preset in words.presets.split(","):
            if (name, preset, bool(words.imatrix), words.threads) in known:
                continue
            if preset in NEED_IMATRIX and not words.imatrix:
                continue
            read_through(words.model)
            row = compare(words, preset, Path(folder))
            rows.append(row)
            if words.log:
                with words.log.open("a") as log:
                    log.write(json.dumps(row) + "\n")
    print(table(rows))


if __name__ == "__main__":
    main()
