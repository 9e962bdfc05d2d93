"""Time and memory of `zeropoint quantize` compared with llama.cpp.

    python benchmarks/quantize.py MODEL [--to Q4_K_M] [--rounds 3] [--threads 2] [--peer PYTHON]

Both read the same file and write the same preset, alternating, each in a process of its own. The
result is the median of the rounds' ratios. Ours ends with fsync and hashes the source; llama.cpp's
does neither. PYTHON is an interpreter that has llama-cpp-python.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FILE_TYPES = {
    "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "Q2_K": 10, "Q3_K_S": 11, "Q3_K_M": 12,
    "Q3_K_L": 13, "Q4_K_S": 14, "Q4_K_M": 15, "Q5_K_S": 16, "Q5_K_M": 17, "Q6_K": 18, "IQ4_NL": 25,
    "IQ4_XS": 30, "TQ1_0": 36, "TQ2_0": 37,
}  # fmt: skip


def peak_bytes() -> int:
    """Return the largest resident size of this process so far."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def peer_side(source: str, output: str, preset: str, threads: int) -> None:
    """Quantize with llama.cpp and print time and memory."""
    import llama_cpp

    llama_cpp.llama_log_set(llama_cpp.llama_log_callback(lambda *_: None), None)
    parameters = llama_cpp.llama_model_quantize_default_params()
    parameters.nthread = threads
    parameters.ftype = FILE_TYPES[preset]
    parameters.allow_requantize = True
    start = time.perf_counter()
    status = llama_cpp.llama_model_quantize(source.encode(), output.encode(), parameters)
    seconds = time.perf_counter() - start
    assert status == 0, status
    print(json.dumps({"seconds": seconds, "peak_memory_bytes": peak_bytes()}))


def run(words: list[str]) -> dict[str, float]:
    """Run a command and return the JSON object that it prints."""
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(words)}: {done.stderr}")
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    """Compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--to", default="Q4_K_M", choices=FILE_TYPES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer", default=sys.executable, help="a python with llama-cpp-python")
    parser.add_argument("--peer-side", metavar="OUTPUT", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peer_side:
        peer_side(asked.model, asked.peer_side, asked.to, asked.threads)
        return
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        mine, other = f"{folder}/ours.gguf", f"{folder}/theirs.gguf"
        options = ["--to", asked.to, "--threads", str(asked.threads)]
        zeropoint = [
            sys.executable,
            "-m",
            "zeropoint",
            "quantize",
            asked.model,
            mine,
            "--overwrite",
        ]
        peer = [asked.peer, __file__, asked.model, "--peer-side", other]
        for _ in range(asked.rounds):
            ours.append(run([*zeropoint, *options, "--requantize", "--json", "--progress=none"]))
            theirs.append(run([*peer, *options]))
            print(
                f"ours {ours[-1]['seconds']:.1f} s   llama.cpp {theirs[-1]['seconds']:.1f} s",
                file=sys.stderr,
            )
        sizes = Path(mine).stat().st_size, Path(other).stat().st_size
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True)]
    result = {
        "model": Path(asked.model).name,
        "to": asked.to,
        "threads": asked.threads,
        "rounds": asked.rounds,
        "seconds": statistics.median(a["seconds"] for a in ours),
        "weights_per_second": statistics.median(a["weights_per_second"] for a in ours),
        "peak_memory_bytes": max(a["peak_memory_bytes"] for a in ours),
        "output_bytes": sizes[0],
        "peer_seconds": statistics.median(b["seconds"] for b in theirs),
        "peer_peak_memory_bytes": max(b["peak_memory_bytes"] for b in theirs),
        "peer_output_bytes": sizes[1],
        "times_faster": statistics.median(ratios),
        "times_faster_range": [min(ratios), max(ratios)],
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
