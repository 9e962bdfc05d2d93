"""`heal`: wins back loss of a quantized file at the same size, by training its scales.

    read    the reference reads the text once; its final hidden states are kept in memory
    train   stages of Adam steps (see `healing.loop`); a guard on held-out text keeps the best state
    judge   the best state against the file before, in float32, on the same held-out text
    write   the file with other scales, if it is better

The state of an unfinished command is in OUTPUT.work, and the same command continues there.
"""

import json
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from zeropoint import kernels
from zeropoint._version import __version__
from zeropoint.calibration.chunks import Chunk, read_chunks, spread_over_domains
from zeropoint.calibration.corpus import Corpus
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.atomic import check_target
from zeropoint.errors import OutputError, needs_packages
from zeropoint.healing.guard import GuardFigures
from zeropoint.healing.records import (
    GuardMeasured,
    HealRecord,
    HealSettings,
    StageEnded,
    WindowRead,
)
from zeropoint.healing.refusals import check_pair
from zeropoint.healing.texts import HealTexts, open_texts
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.metrics.identity import identify
from zeropoint.metrics.statistics import ConfidenceInterval
from zeropoint.models import LanguageModel, load_model
from zeropoint.quantizers.replacement import TensorRewritten, replace_tensors
from zeropoint.results.heal import GuardPoint, HealedText, HealPlan, HealResult, HealStage
from zeropoint.results.interval import Interval
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.arguments import as_path, as_paths
from zeropoint.verbs.checkpoint_input import CheckpointInput, opened
from zeropoint.verbs.options.heal import HealOptions
from zeropoint.verbs.options.quantize import Effort
from zeropoint.verbs.records import Notice, OnRecord, StageStarted, drain
from zeropoint.verbs.reference import proxy_notices
from zeropoint.verbs.work_folder import state_folder

if TYPE_CHECKING:
    from zeropoint.healing.job import HealingJob

GUARD_WINDOWS = {"quick": 3, "normal": 6, "long": 12}  # of each kind of text
STATE = "state"  # the file of the run folder with everything that a resumed run needs
HEALING = "zeropoint.healing"
VerbRecord: TypeAlias = (
    Notice | StageStarted | WindowRead | HealPlan | HealRecord | TensorRewritten | HealResult
)


def heal(
    quant: CheckpointInput,
    output: str | Path,
    ref: CheckpointInput,
    *,
    text: str | Path | Sequence[str | Path] | None = None,
    effort: Effort = "normal",
    tokens: int | str | None = None,
    stages: str | Sequence[str] | None = None,
    context: int = 512,
    device: str = "cpu",
    run: str | Path | None = None,
    overwrite: bool = False,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> HealResult:
    """Train the scales of a quantized GGUF file against its reference, at the same size.

    `quant` is the file, `ref` the 16-bit model that it was made from, and `output` the file to
    write. The codes stay; scales, minimums and the gains of norms change so that KL(ref ‖ quant)
    falls. `HealOptions` explains the options. If held-out text does not show a gain, nothing is
    written, and the result's `output` is None. A healing that was stopped continues, and ends with
    the same bytes.

    Raises MeasurementError for models or texts that cannot be used, such as a quant at 8 bits, one
    that is its own reference, or text that the reference cannot predict; UnsupportedModel without
    torch or for a model that transformers does not run; CheckpointError if `run` holds another run.
    """
    options = HealOptions(
        text=text, effort=effort, tokens=tokens, stages=stages, context=context, device=device,
        run=as_path(run), overwrite=overwrite, threads=threads,
    )  # fmt: skip
    return drain(heal_records(quant, output, ref, options), HealResult, progress)


def heal_records(
    quant: CheckpointInput,
    output: str | Path,
    ref: CheckpointInput,
    options: HealOptions,
    *,
    dry_run: bool = False,
) -> Iterator[VerbRecord]:
    """Run `heal`; yield progress records, and the result last.

    With `dry_run` the last record is the plan, and nothing is trained or written.

    Stopping between two records is safe: the same command continues from its last state.
    """
    started = time.perf_counter()
    target = Path(output)
    if target.suffix != ".gguf":
        raise OutputError(f"{target}: a healed model is a GGUF file; its name must end in .gguf")
    texts = open_texts(as_paths(options.text))
    with opened(quant, "run") as file, opened(ref, "run") as source:
        if not dry_run:
            check_target(target, [*file.files, *source.files], overwrite=options.overwrite)
        check_pair(file, source)
        yield from proxy_notices(identify(source))
        job, plan = _open_job(file, source, texts, options)
        yield plan
        if dry_run:
            return
        with state_folder(options.run, target) as path:
            folder = _start(path, file, source, texts, options)
            yield StageStarted("reading the text", job.windows, "windows", job.read_seconds)
            yield from job.read()
            yield StageStarted("healing", job.healing.steps, "steps")
            stages, curve = yield from _train(job, folder)
            result = _judged(job, texts, file, source, plan)
            if not result.reason:
                yield StageStarted("writing", len(file.tensors), "tensors")
                blocks = job.blocks()
                facts = _facts(result, plan)
                yield from replace_tensors(file, target, blocks, facts, overwrite=options.overwrite)
                result = replace(
                    result, output=str(target), changed_tensors=len(blocks),
                    output_bytes=target.stat().st_size,
                )  # fmt: skip
            result = replace(
                result, stages=tuple(stages), curve=tuple(curve),
                seconds=time.perf_counter() - started, peak_memory_bytes=peak_memory_bytes(),
            )  # fmt: skip
            folder.finish(result)
        yield result


def _open_job(
    quant: Checkpoint, source: Checkpoint, texts: HealTexts, options: HealOptions
) -> "tuple[HealingJob, HealPlan]":
    """Load both models, cut the texts, train one step to time it, and return the plan."""
    with needs_packages("heal"):
        from zeropoint.healing.job import HealingJob
    threads = options.threads or kernels.default_threads()
    reference = load_model(source, threads=threads)
    count = max(1, options.train_tokens // options.context)
    train = _windows(reference, texts.train, options, count)
    kinds = len(texts.guard.domains)
    guard = _windows(reference, texts.guard, options, kinds * GUARD_WINDOWS[options.effort])
    settings = HealSettings(
        tokens=options.train_tokens, stages=options.stage_list, device=options.device,
        threads=threads,
    )  # fmt: skip
    job = HealingJob(quant, reference, train, guard, settings)
    prediction = job.predict()
    plan = HealPlan(
        stages=dict(job.healing.plan),
        tokens=job.healing.steps * job.healing.step_tokens,
        tokens_per_step=job.healing.step_tokens,
        numbers=job.numbers,
        guard_windows=len(guard),
        kinds=tuple(texts.train.domains),
        untrained_kind=texts.untrained_kind,
        seconds=prediction.seconds,
        memory_bytes=prediction.memory_bytes,
    )
    return job, plan


def _windows(model: LanguageModel, corpus: Corpus, options: HealOptions, count: int) -> list[Chunk]:
    """Return at most `count` windows of a corpus, spread over its kinds of text."""
    chunks = read_chunks(corpus, model.checkpoint, model.tokenizer, options.context)
    return spread_over_domains(chunks, count)


def _start(
    path: Path, quant: Checkpoint, source: Checkpoint, texts: HealTexts, options: HealOptions
) -> RunFolder:
    """Begin the run in a folder, or resume it."""
    inputs = {
        "quant": identify(quant).to_json(),
        "reference": identify(source).to_json(),
        "train_text": texts.train.hash,
        "guard_text": texts.guard.hash,
    }
    settings = {
        "tokens": options.train_tokens,
        "stages": list(options.stage_list),
        "context": options.context,
        "guard_windows": GUARD_WINDOWS[options.effort],
        "device": options.device,
        "threads": options.threads or kernels.default_threads(),
        "instruction_set": kernels.variant(),
    }
    return RunFolder.start(path, "heal", inputs, settings)


def _train(
    job: "HealingJob", folder: RunFolder
) -> Generator[VerbRecord, None, tuple[list[HealStage], list[GuardPoint]]]:
    """Train, or continue; save the state after each evaluation of the guard.

    Returns the stages and the evaluations, also those of an earlier process.
    """
    stages: list[HealStage] = []
    curve: list[GuardPoint] = []
    steps = dict(job.healing.plan)
    if (folder.path / f"{STATE}.npz").exists():
        arrays = folder.load_arrays(STATE)
        job.healing.restore(arrays)
        stages, curve = _history(arrays, folder.path)
    for record in job.healing.run():
        if isinstance(record, GuardMeasured):
            assert job.healing.start is not None
            curve.append(_point(record, job.healing.start))
        elif isinstance(record, StageEnded):
            stages.append(
                HealStage(name=record.stage, steps=steps[record.stage], ratio=record.ratio)
            )
        if isinstance(record, GuardMeasured | StageEnded):
            history = {"stages": [one.to_json() for one in stages],
                       "curve": [one.to_json() for one in curve]}  # fmt: skip
            folder.save_arrays(STATE, {**job.healing.state(), **_as_array(history)})
        yield record
    return stages, curve


def _judged(
    job: "HealingJob", texts: HealTexts, quant: Checkpoint, source: Checkpoint, plan: HealPlan
) -> HealResult:
    """Compare the best state with the file before, in float32."""
    before, after = job.healing.judge()
    trained = texts.train.domains
    kl = tuple(
        HealedText(
            kind=kind,
            trained=kind in trained,
            before=before.mean(kind),
            after=after.mean(kind),
            ratio=_interval(after.ratio(before, kind)),
        )
        for kind in dict.fromkeys(after.kinds)
    )
    return HealResult(
        output=None,
        reason=job.healing.reason or after.verdict(before),
        reference=identify(source),
        quant=identify(quant),
        ratio=_interval(after.ratio(before)),
        kl=kl,
        plan=plan,
        train_text=texts.train.hash,
        guard_text=texts.guard.hash,
    )


def _facts(result: HealResult, plan: HealPlan) -> dict[str, object]:
    """Return the metadata of the healed file about its healing."""
    losses = {one.kind: [round(one.before, 6), round(one.after, 6)] for one in result.kl}
    return {
        HEALING: f"{', '.join(plan.stages)}: {plan.tokens} tokens of {', '.join(plan.kinds)}",
        f"{HEALING}.quant": result.quant.fingerprint,
        f"{HEALING}.reference": result.reference.fingerprint,
        f"{HEALING}.train.sha256": result.train_text,
        f"{HEALING}.guard.sha256": result.guard_text,
        f"{HEALING}.kl": json.dumps(losses, separators=(",", ":")),
        f"{HEALING}.version": __version__,
    }


def _point(record: GuardMeasured, start: GuardFigures) -> GuardPoint:
    kinds = dict.fromkeys(record.figures.kinds)
    return GuardPoint(
        step=record.done,
        stage=record.stage,
        ratio=record.ratio,
        by_kind={kind: record.figures.ratio(start, kind).mean for kind in kinds},
        best=record.best,
    )


def _interval(found: ConfidenceInterval) -> Interval:
    known = not np.isnan(found.low)
    return Interval(found.mean, found.low if known else None, found.high if known else None)


def _as_array(history: object) -> dict[str, NDArray[np.generic]]:
    """Return JSON as an array, for the one file of the state."""
    return {"history": np.frombuffer(json.dumps(history).encode(), np.uint8)}


def _history(
    arrays: Mapping[str, NDArray[np.generic]], path: Path
) -> tuple[list[HealStage], list[GuardPoint]]:
    """Return what `_as_array` was given."""
    history = json.loads(arrays["history"].tobytes())
    stages = [HealStage.from_json(one, path) for one in history["stages"]]
    return stages, [GuardPoint.from_json(one, path) for one in history["curve"]]
