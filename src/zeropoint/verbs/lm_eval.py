"""`tasks --lm-eval`: tasks of lm-evaluation-harness, answered by our models."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zeropoint.errors import MeasurementError
from zeropoint.metrics.identity import identify
from zeropoint.results.run_store import RunFolder
from zeropoint.results.tasks import HarnessResult, HarnessScores
from zeropoint.verbs.loaded_model import LoadedModel, ModelInput, checkpoint_of
from zeropoint.verbs.options.checks import ALL
from zeropoint.verbs.options.tasks import TasksOptions


def lm_eval(
    models: Sequence[ModelInput],
    names: Sequence[str],
    options: TasksOptions,
    *,
    include: Path | None = None,
) -> HarnessResult:
    """Run tasks of lm-evaluation-harness on every model, and return the harness's own scores.

    `include` is a folder with more tasks (YAML). With a run folder, a model whose scores are stored
    there is not run again. Raises MeasurementError if the harness is not installed or does not have
    a task.
    """
    if find_spec("lm_eval") is None:
        raise MeasurementError(
            'lm-evaluation-harness is not installed; pip install "zeropoint[lm-eval]" adds it'
        )
    from zeropoint.metrics.peers.lm_eval import evaluate

    limit = None if options.count == ALL else options.count
    identities = [identify(checkpoint_of(model)) for model in models]
    folder = None
    if options.run:
        inputs = {
            "models": [identity.to_json() for identity in identities],
            "harness": list(names),
            "include": None if include is None else str(include),
        }
        settings = {"limit": limit, "tokens": options.tokens, "mode": options.mode}
        folder = RunFolder.start(options.run, "lm-eval", inputs, settings)
    scores: list[HarnessScores] = []
    for place, (model, identity) in enumerate(zip(models, identities, strict=True)):
        table = f"harness-{place}"
        if folder and (folder.path / f"{table}.json").exists():
            results: Any = folder.load_table(table)
        else:
            loaded = LoadedModel.open(model, mode=options.mode, threads=options.threads)
            results = evaluate(
                loaded.model, names, include=include, limit=limit, tokens=options.tokens
            )
            if folder:
                folder.save_table(table, results)
        scores.append(HarnessScores(identity.name, identity.file_bytes, results))
    result = HarnessResult("lm-evaluation-harness", tuple(scores))
    if folder:
        folder.finish(result)
    return result
