"""How much does each step of the rounding contribute? KL with one step removed at a time.

    python benchmarks/rounding_steps.py REFERENCE MOMENTS TEXT... --to FORMAT [--work DIR]
        [--steps all,nearest,...] [--chunks 24] [--less MOMENTS:LABEL...] [--pure] [--threads 2]
    python benchmarks/rounding_steps.py --table DIR --to FORMAT

REFERENCE is a model of 16 bits per weight, and MOMENTS are second moments of its inputs
(`calibrate --second-moments`). TEXT is a file that was not calibrated on, or builtin:KIND for a
kind of built-in text; N chunks of 512 tokens are taken from all of them in turn. Each step
of STEPS below is a quant of equal size, which is measured and deleted. `--less` adds a step with
other moments, such as those of less text. Run folders and the reference's hidden states stay in
the work folder, so an interrupted script resumes and a later call adds steps.

The table has the mean KL in nats per token for each text, and its ratio to `all` with a 95 %
interval that is paired by chunk: above 1, the step that is missing lowers KL.
"""

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

import zeropoint as zp
from zeropoint.calibration.corpus import builtin_corpus
from zeropoint.calibration.moments import MomentFolder
from zeropoint.checkpoints import open_checkpoint
from zeropoint.formats import FORMATS
from zeropoint.metrics.statistics import estimate
from zeropoint.plans.formats.choose import FormatOptions
from zeropoint.quantizers.checkpoint import write_quantized
from zeropoint.quantizers.code_choice import can_choose
from zeropoint.quantizers.feedback import DEFAULTS, FeedbackOptions
from zeropoint.quantizers.feedback_rounding import FeedbackRounding
from zeropoint.quantizers.quantization_plan import plan_quantization
from zeropoint.quantizers.records import TensorWritten, WriteOptions
from zeropoint.results.run_store import RunFolder

#: What each step changes: the options of the feedback (None: nearest codes), and whether the
#: encoder gets importance.
STEPS: dict[str, tuple[FeedbackOptions | None, bool]] = {
    "all": (DEFAULTS, True),
    "nearest": (None, True),
    "nearest without importance": (None, False),
    "no importance for scales": (DEFAULTS, False),
    "only sweeps": (replace(DEFAULTS, feed_back=False), True),
    "columns from first to last": (replace(DEFAULTS, ordered=False), True),
    "no sweeps": (replace(DEFAULTS, sweeps=0), True),
    "1 sweep": (replace(DEFAULTS, sweeps=1), True),
    "10 sweeps": (replace(DEFAULTS, sweeps=10), True),
    "2 refits": (replace(DEFAULTS, refits=2), True),
    "damping 0.01": (replace(DEFAULTS, damping=0.01), True),
    "damping 0.1": (replace(DEFAULTS, damping=0.1), True),
    "no shrinkage": (replace(DEFAULTS, shrinkage=0.0), True),
    "damping 0.01 without shrinkage": (replace(DEFAULTS, damping=0.01, shrinkage=0.0), True),
}


def text_files(names: list[str], work: Path) -> list[Path]:
    """Return the files of the texts; built-in text is written into `work`."""
    files = []
    for name in names:
        source, _, kind = name.rpartition(":")
        file = Path(name)
        if source == "builtin":
            file = work / f"builtin-{kind}.txt"
            file.write_text(builtin_corpus("evaluate", [kind]).domains[kind])
        files.append(file)
    return files


def write(words: argparse.Namespace, step: str, moments: Path, output: Path) -> str:
    """Write the quant of a step; returns the ratio of the objective after and before."""
    feedback, weighted = STEPS.get(step, STEPS["all"])
    with open_checkpoint(words.reference) as source:
        folder = MomentFolder.open(moments)
        shapes = {name: info.shape for name, info in source.tensors.items()}
        calibration = folder.calibration(shapes) if weighted else None
        names = tuple(name for name in FORMATS if can_choose(FORMATS[name]))
        rounding = feedback and FeedbackRounding(folder, source.tensors, names, feedback)
        options = WriteOptions(to=words.to, feedback=rounding)
        plan = plan_quantization(
            source, words.to, calibration, options, FormatOptions(pure=words.pure),
            awaits_importance=True,
        )  # fmt: skip
        ratios = []
        steps = write_quantized(
            source, plan.choices, output, calibration=calibration, threads=words.threads,
            options=options,
        )  # fmt: skip
        for record in steps:
            if isinstance(record, TensorWritten) and record.feedback:
                found = record.feedback
                ratios.append(found.objective_after / found.objective_before)
    return f"{np.exp(np.mean(np.log(ratios))):.3f}" if ratios else "-"


def measure(words: argparse.Namespace, step: str, moments: Path) -> None:
    """Quantize and measure one step, unless its run folder is complete."""
    work = words.work
    run = work / words.to / step
    if run.exists() and RunFolder.open(run).chunks_done() >= words.chunks:
        return
    quant = work / f"{words.to}.gguf"
    started = time.perf_counter()
    ratio = write(words, step, moments, quant)
    seconds = time.perf_counter() - started
    result = zp.measure(
        str(quant), ref=str(words.reference), text=text_files(words.texts, work),
        chunks=words.chunks, floor_chunks=0, run=run, reference_cache=work / "reference",
        threads=words.threads,
    )  # fmt: skip
    print(f"{step}: KL {result.kl.mean:.4f}, objective {ratio}, {seconds:.0f} s", flush=True)
    quant.unlink()


def table(work: Path, to: str) -> None:
    """Print the table of all run folders of a format."""
    chunks = {}
    for path in sorted((work / to).iterdir(), key=lambda path: path.stat().st_ctime):
        run = RunFolder.open(path)
        chunks[path.name] = [run.load_chunk(index) for index in range(run.chunks_done())]
    base = np.array([chunk["kl"].sum() for chunk in chunks["all"]])
    names = json.loads((work / "texts.json").read_text())
    domains = np.array([names[index % len(names)] for index in range(len(base))])
    print("| Step | KL, all | ratio (95 % interval) | " + " | ".join(names) + " |")
    print("|" + "---|" * (3 + len(names)))
    for step, found in chunks.items():
        sums = np.array([chunk["kl"].sum() for chunk in found])
        tokens = np.array([chunk["kl"].size for chunk in found])
        ratio = estimate(sums, base)
        parts = []
        for name in names:
            here = domains == name
            mean = sums[here].sum() / tokens[here].sum()
            parts.append(f"{mean:.4f} ({sums[here].sum() / base[here].sum():.3f})")
        print(
            f"| {step} | {sums.sum() / tokens.sum():.4f} | {ratio.mean:.3f}"
            f" ({ratio.low:.3f} … {ratio.high:.3f}) | {' | '.join(parts)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("reference", type=Path, nargs="?")
    parser.add_argument("moments", type=Path, nargs="?")
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--to", required=True)
    parser.add_argument("--work", type=Path, default=Path("build/rounding-steps"))
    parser.add_argument("--steps", type=lambda names: names.split(","), default=list(STEPS))
    parser.add_argument("--less", nargs="*", default=[])
    parser.add_argument("--chunks", type=int, default=24)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pure", action="store_true")
    parser.add_argument("--table", type=Path)
    words = parser.parse_args()
    if words.table:
        table(words.table, words.to)
        return
    if not words.texts:
        sys.exit("name a reference, second moments, and texts")
    if unknown := [step for step in words.steps if step not in STEPS]:
        sys.exit(f"unknown steps {unknown}; the steps are {', '.join(STEPS)}")
    words.work.mkdir(parents=True, exist_ok=True)
    (words.work / "texts.json").write_text(json.dumps(words.texts))
    for step in words.steps:
        measure(words, step, words.moments)
    for place in words.less:
        path, _, label = place.rpartition(":")
        measure(words, label, Path(path))
    table(words.work, words.to)


if __name__ == "__main__":
    main()
