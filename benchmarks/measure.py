"""Speed of full KL statistics compared with llama-perplexity, counting both passes.

    LLAMA_BIN=build/bin python benchmarks/measure.py REFERENCE QUANT TEXT [CHUNKS] [THREADS]

Prints scored tokens per second (255 of each chunk of 512) and processor seconds per chunk, without
start-up: each tool runs with few and with more chunks, and only the difference counts. The files
are read once before, so no run waits for a disk.
llama-perplexity writes its base file with the reference, then reads it with the quant.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONTEXT, SCORED = 512, 255
FEW = 2  # chunks of the shorter run


def timed(command: list[str]) -> tuple[float, float]:
    """Return wall and processor seconds of a command."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return time.perf_counter() - start, used


def ours(files: list[str], chunks: int, threads: str) -> tuple[float, float]:
    reference, quant, text = files
    return timed([
        sys.executable, "-m", "zeropoint", "measure", quant, "--ref", reference, "--text", text,
        "--ctx", str(CONTEXT), "--chunks", str(chunks), "--floor-chunks", "0",
        "--threads", threads, "--json",
    ])  # fmt: skip


def theirs(files: list[str], chunks: int, threads: str) -> tuple[float, float]:
    reference, quant, text = files
    tool = str(Path(os.environ["LLAMA_BIN"]) / "llama-perplexity")
    with tempfile.TemporaryDirectory() as folder:
        base = ["-c", str(CONTEXT), "-t", threads, "--kl-divergence-base", f"{folder}/base.kld"]
        first = timed([tool, "-m", reference, "-f", text, "--chunks", str(chunks), *base])
        second = timed([tool, "-m", quant, *base, "--kl-divergence"])
    return first[0] + second[0], first[1] + second[1]


def main() -> None:
    files, more = sys.argv[1:4], sys.argv[4:]
    many = int(more[0]) if more else 10
    threads = more[1] if len(more) > 1 else str(len(os.sched_getaffinity(0)))
    for path in files:
        with open(path, "rb") as file:
            while file.read(1 << 24):
                pass
    rates = {}
    for name, run in (("zeropoint", ours), ("llama-perplexity", theirs)):
        short, long = run(files, FEW, threads), run(files, many, threads)
        wall, used = (b - a for a, b in zip(short, long, strict=True))
        rates[name] = (many - FEW) * SCORED / wall
        print(
            f"{name:18} {rates[name]:8.1f} scored tokens/s   {used / (many - FEW):6.2f} processor "
            f"seconds a chunk   {short[0] - FEW * wall / (many - FEW):5.1f} s to start"
        )
    print(f"ratio {rates['zeropoint'] / rates['llama-perplexity']:.2f}")


if __name__ == "__main__":
    main()
