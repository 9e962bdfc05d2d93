"""The report of a training run: what its formats cost, and the curve of the mean over seeds."""

import json
from pathlib import Path

from support.javascript import run_in_node
from zeropoint.studio.data.measure_runs import open_runs
from zeropoint.studio.report.report import render_report

SUMMARY = "(modules, curves) => modules.summary(curves)"


def curve(seed: int, *losses: float) -> dict[str, object]:
    tokens = [1024 * (i + 1) for i in range(len(losses))]
    return {"seed": seed, "tokens": tokens, "training": list(losses), "held_out": list(losses)}


def test_a_curve_is_the_mean_over_seeds_as_far_as_all_have_come() -> None:
    found = run_in_node(
        ["figures/training/seeds.js"], SUMMARY, [curve(0, 4.0, 3.0, 2.0), curve(1, 5.0, 3.5)]
    )
    assert found == [
        {"tokens": 1024, "mean": 4.5, "low": 4.0, "high": 5.0},
        {"tokens": 2048, "mean": 3.25, "low": 3.0, "high": 3.5},
    ]


def test_the_report_says_what_each_format_costs(tmp_path: Path) -> None:
    formats = [
        {"format": "BF16", "loss": {"mean": 4.0}, "curves": [curve(0, 5.0, 4.0)]},
        {
            "format": "NVFP4", "loss": {"mean": 4.25}, "curves": [curve(0, 5.5, 4.25)],
            "gap": {"mean": 0.25, "low": 0.125, "high": 0.375}, "rounded_baseline": 4.5,
        },
    ]  # fmt: skip
    histogram = {"format": "NVFP4", "edges": [-6, 0, 6], "counts": [1, 2], "lost": 0.25}
    results = {"tokens": 2048, "baseline": "BF16", "formats": formats, "histogram": histogram}
    head = {"schema": 1, "verb": "train", "inputs": {}, "settings": {}, "results": results}
    (tmp_path / "run.json").write_text(json.dumps(head))
    page = render_report(open_runs([tmp_path]))
    assert "above that of BF16, in nats per token: NVFP4 0.25." in page
    assert "0.125 … 0.375" in page and "nearest rounding would set 25.0% to 0" in page
    assert 'data-visual="curves"' in page


SUMS = """(modules, gradients) => gradients.map((gradient) => {
  const sums = modules.runningSums(gradient, 1000, 7);
  return [sums.exact[1000], sums.nearest[1000], sums.drawn[1000]];
})"""


def test_stochastic_rounding_keeps_on_average_what_nearest_rounding_loses() -> None:
    found = run_in_node(["figures/training/rounded_sums.js"], SUMS, [0.0, 0.2, 0.5, 0.6, 1.5, 2.0])
    assert [nearest for _, nearest, _ in found] == [0, 0, 0, 1000, 2000, 2000]
    for exact, _, drawn in found:
        assert abs(drawn - exact) <= 4 * 0.5 * 1000**0.5  # four deviations of a sum of 1,000 draws
    assert found[0][2] == 0 and found[-1][2] == 2000
