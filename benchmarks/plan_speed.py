"""Does `plan` predict the speeds that `bench` measures?

    python benchmarks/plan_speed.py MODEL... [-p 128] [-n 32] [-r 3] [--rounds 5] [--log FILE.jsonl]

Every GGUF file is timed once in each of --rounds rounds over all files, because the speed of a
shared machine changes from minute to minute; timings that the log already has are skipped. The
speed of a file is the median of its rounds. It is predicted before any timing, from the files of
all other models (with another number of weights), and from the files of each single model. The
script prints measured ÷ predicted, and how many measurements lie inside their bands.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path
from statistics import median

from zeropoint.metrics.speed.bench import BenchRun, workload_of
from zeropoint.metrics.speed.this_machine import measure_local_machine
from zeropoint.plans.speed.earlier_results import bench_timing, bench_work
from zeropoint.plans.speed.speed import (
    UNTIMED_SPEED_RATIO,
    Timing,
    WorkCosts,
    calibrate_costs,
    device_costs,
    estimate,
)
from zeropoint.results.bench import BenchResult
from zeropoint.verbs.plan import describe_model

KINDS = ("generation", "prompt")


def timed(path: str, options: argparse.Namespace) -> dict[str, object]:
    """Time one file as `bench` does."""
    job = BenchRun(path, workload_of(prompt=options.p, generate=options.n, repetitions=options.r,
                                  threads=None, mode="fast"))  # fmt: skip
    for _ in job.run():
        pass
    found = replace(job.results(), work=bench_work(describe_model(path)[0], options.p, options.n))
    return found.to_json() | {"path": path}


def middle(path: str, rounds: list[dict[str, object]]) -> dict[str, object]:
    """Return one record of a file: the medians of its rounds."""
    mine = [row for row in rounds if row["path"] == path]
    names = [f"{kind}_tokens_per_second" for kind in KINDS]
    speeds = {name: median(float(str(row[name])) for row in mine) for name in names}
    return mine[0] | speeds | {"weights": describe_model(path)[0].weights}


def timing(row: dict[str, object], kind: str) -> Timing:
    """Return the timing of one kind of work from a file's record."""
    bench = bench_timing(BenchResult.from_json(row, str(row["path"])))
    assert bench is not None
    if kind == "prompt":
        assert bench.prompt
        return Timing(features=bench.prompt_features, seconds=bench.prompt_tokens / bench.prompt)
    assert bench.generation
    return Timing(features=bench.generation_features, seconds=1 / bench.generation)


def judge(costs: WorkCosts, rows: list[dict[str, object]]) -> dict[str, dict[str, float]]:
    """Return measured ÷ predicted of each file, and whether all lie inside the bands."""
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        name = Path(str(row["path"])).stem
        found[name] = {}
        for kind in KINDS:
            seen = timing(row, kind)
            guess = estimate(costs, seen.features, 1.0)
            found[name][kind] = seen.seconds * guess.tokens_per_second
            rate = 1 / seen.seconds
            found[name][f"{kind} inside"] = float(guess.low <= rate <= guess.high)
    return found


def line(label: str, found: dict[str, dict[str, float]]) -> None:
    """Print the errors of a set of predictions."""
    cells = []
    for kind in KINDS:
        off = [abs(math.log(one[kind])) for one in found.values()]
        inside = sum(one[f"{kind} inside"] for one in found.values())
        mean, most = math.expm1(sum(off) / len(off)), math.expm1(max(off))
        cells.append(
            f"{kind}: mean {mean:.1%}, most {most:.1%}, {inside:.0f} of {len(off)} in band"
        )
    print(f"{label:34} " + "   ".join(cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("-p", type=int, default=128)
    parser.add_argument("-n", type=int, default=32)
    parser.add_argument("-r", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--log", default="")
    options = parser.parse_args()
    log = Path(options.log) if options.log else None
    lines = log.read_text().splitlines() if log and log.exists() else []
    kept = [row for row in map(json.loads, lines) if row["path"] in options.models]
    local = measure_local_machine()
    for turn in range(options.rounds):
        for path in options.models:
            if sum(row["path"] == path for row in kept) > turn:
                continue
            kept.append(timed(path, options))
            if log:
                with log.open("a") as file:
                    file.write(json.dumps(kept[-1]) + "\n")
    rows = [middle(path, kept) for path in options.models]
    base = device_costs(local.device, local.product_seconds)
    print(json.dumps({"machine": local.device.name, "seconds": dict(local.product_seconds)}))
    before = judge(base, rows)
    for name, one in before.items():
        print(f"{name:34} " + "   ".join(f"{kind} {one[kind]:.2f}" for kind in KINDS))
    line(f"before (bands {UNTIMED_SPEED_RATIO} wide)", before)
    everything = [timing(row, kind) for row in rows for kind in KINDS]
    line("from all", judge(calibrate_costs(base, everything), rows))
    for weights in dict.fromkeys(row["weights"] for row in rows):
        mine = [row for row in rows if row["weights"] == weights]
        others = [row for row in rows if row["weights"] != weights]
        if not others:
            continue
        size = f"{weights / 1e9:.2f}B"
        own = [timing(row, kind) for row in mine for kind in KINDS]
        rest = [timing(row, kind) for row in others for kind in KINDS]
        line(f"{size} from the others", judge(calibrate_costs(base, rest), mine))
        line(f"the others from {size}", judge(calibrate_costs(base, own), others))


if __name__ == "__main__":
    main()
