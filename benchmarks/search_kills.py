"""Does a search that is killed again and again end with the recipe of one that runs through?

    python benchmarks/search_kills.py MODEL --bits 4 --work DIR [--kills 30] [--seconds 5..10]
        [--text TEXT...] [--effort quick] [--seed 1] [--threads 2]

The command `zeropoint search` runs through once. Then the same command is killed (SIGKILL) after a
random time, drawn evenly from the range of --seconds, and started again, until it was killed N
times; the last start runs through. A search that ends before it is killed is started from nothing.
The script prints the times and ends with status 1 if a recipe differs.
"""

import argparse
import random
import subprocess
import sys
import time
from pathlib import Path


def command(words: argparse.Namespace, output: Path) -> list[str]:
    """Return the command that searches for a recipe."""
    texts = [word for text in words.text for word in ("--text", text)]
    threads = ["--threads", str(words.threads)] if words.threads else []
    return [
        sys.executable, "-m", "zeropoint", "search", str(words.model), "-o", str(output),
        "--bits", words.bits, "--effort", words.effort, *texts, *threads, "--quiet",
    ]  # fmt: skip


def main() -> None:
    """Search once without and once with kills, and compare the recipes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--bits", required=True)
    parser.add_argument("--work", metavar="DIR", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seconds", default="5..10")
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("--effort", default="quick")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int)
    words = parser.parse_args()
    words.work.mkdir(exist_ok=True)
    whole, killed = words.work / "whole.recipe", words.work / "killed.recipe"
    started = time.perf_counter()
    subprocess.run(command(words, whole), check=True)
    print(f"without kills: {time.perf_counter() - started:.0f} s", flush=True)
    low, high = (float(end) for end in words.seconds.split(".."))
    moments = random.Random(words.seed)
    kills = complete = 0
    started = time.perf_counter()
    while True:
        running = subprocess.Popen(command(words, killed))
        try:
            status = running.wait(moments.uniform(low, high) if kills < words.kills else None)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()
            kills += 1
            continue
        if status != 0:
            sys.exit(f"after {kills} kills the command ended with status {status}")
        complete += 1
        if killed.read_bytes() != whole.read_bytes():
            sys.exit(f"after {kills} kills the recipe differs: {killed}, {whole}")
        killed.unlink()
        if kills >= words.kills:
            break
    print(
        f"{kills} kills in {time.perf_counter() - started:.0f} s, {complete} complete searches:"
        " the same recipe"
    )


if __name__ == "__main__":
    main()
