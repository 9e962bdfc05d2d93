"""Results whose parts do not fit each other count as damaged."""

from typing import Any

import pytest

from zeropoint.errors import CheckpointError
from zeropoint.results.bench import QuickSpeed
from zeropoint.results.chains import ChainPair
from zeropoint.results.divergence import Floor
from zeropoint.results.drift import DriftResult, FreeRun, Survival, TextsCompared
from zeropoint.results.quantize import WorstBlock
from zeropoint.results.schema import Record
from zeropoint.results.tasks import HarnessResult, TasksResult

MEAN = {"mean": 0.5, "low": None, "high": None}
STEP = {"lost": 0, "won": 0, "difference": MEAN, "p": 1.0}
CURVE = {"share": [1.0, 0.5], "low": [0.5, 0.2], "high": [1.0, 0.9], "predicted": [1.0, 0.9]}
BLOCK = {"row": 0, "column": 0, "error": 0.0, "weights": [1.0], "decoded": [1.0]}
PAIR = {
    "reference": {"accuracy": [MEAN]}, "quant": {"accuracy": [MEAN]}, "steps": [STEP],
    "distinguishable": 1,
}  # fmt: skip
TEXTS = {"survival_characters": [{"characters": 1, **MEAN}]}
SCORES = {"harness": "x", "models": [{"name": "a", "results": {"t": {"acc": 1}}}]}

# A record, its JSON, and changes of it that no longer fit.
CASES: list[tuple[type[Record], dict[str, Any], list[dict[str, Any]]]] = [
    (Survival, CURVE, [{"low": [0.5]}, {"share": []}, {key: [] for key in CURVE}]),
    (FreeRun, {"survival": CURVE, "compounding": [{"steps": 2}]},
     [{"compounding": [{"steps": 3}]}, {"compounding": [{"steps": 0}]}]),
    (DriftResult, {"prompts": 1, "texts": TEXTS}, [{"texts": None}]),
    (TextsCompared, TEXTS, [{"survival_characters": []}]),
    (ChainPair, PAIR,
     [{"steps": []}, {"reference": {}}, {"quant": {"accuracy": []}}, {"distinguishable": 2},
      {"distinguishable": 0}]),
    (TasksResult, {"models": [{"name": "a", "file_bytes": 1, "accuracy": MEAN}]}, [{"models": []}]),
    (HarnessResult, SCORES, [{"models": []},
     {"models": [*SCORES["models"], {"name": "b", "results": {}}]}]),
    (WorstBlock, BLOCK, [{"weights": []}, {"decoded": [1.0, 2.0]}]),
    (Floor, {"kl_mean": 0.0, "chunks": 4}, [{"kl_mean": -1.0}, {"kl_mean": None},
     {"kl_mean": float("inf")}]),
    (QuickSpeed, {"prompt": 1.0, "generation": 1.0}, [{"prompt": -1.0}, {"generation": None}]),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "data", "change"), [
    (kind, data, change) for kind, data, changes in CASES for change in changes
])  # fmt: skip
def test_what_does_not_fit_is_damage(
    kind: type[Record], data: dict[str, Any], change: dict[str, Any]
) -> None:
    assert kind.from_json(data, "run.json", "results").to_json()
    with pytest.raises(CheckpointError, match=r"run\.json: results.*damaged"):
        kind.from_json(data | change, "run.json", "results")
