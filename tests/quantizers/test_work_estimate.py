"""The prediction of how long calibration and rounding take."""

from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint import cache
from zeropoint.checkpoints import open_checkpoint
from zeropoint.models import read_architecture
from zeropoint.plans import choose_formats
from zeropoint.quantizers import work_estimate
from zeropoint.quantizers.work_estimate import (
    RECORD_FILE,
    WorkRates,
    predict_layers,
    rounded_tensors,
    work_rates,
)

RATES = WorkRates(forward=1e6, moments=2e6, factorization=3e6, rounding=4e6)


def predict(model: Path) -> work_estimate.LayerWork:
    with open_checkpoint(model) as source:
        shapes = {name: info.shape for name, info in source.tensors.items() if len(info.shape) > 1}
        first, second = predict_layers(read_architecture(source), shapes, 100, RATES)
    assert first.forward == second.forward
    return first


def test_a_dense_layer_costs_what_its_shapes_give(tmp_path: Path) -> None:
    work = predict(write_model(tmp_path / "m.gguf", format="BF16"))
    weights = 256 * 256 * 2 + 128 * 256 * 2 + 3 * 512 * 256
    assert work.forward == pytest.approx(100 * weights / 1e6)
    # q (with k and v), the output, gate (with up), and down
    assert work.moments == pytest.approx(100 * (3 * 256**2 + 512**2) / 2 / 2e6)
    down = 256 * 512**2 / 4e6 + 512**3 / 3 / 3e6
    assert work.rounding["blk.0.ffn_down.weight"] == pytest.approx(down)
    shared = "blk.0.attn_k.weight"  # the factorization is counted with attn_q
    assert work.rounding[shared] == pytest.approx(128 * 256**2 / 4e6)
    assert work.rounding_of({shared, "another"}) == work.rounding[shared]


def test_an_expert_reads_its_share_of_the_tokens(tmp_path: Path) -> None:
    dense = predict(write_model(tmp_path / "m.gguf", format="BF16"))
    mixed = predict(write_model(tmp_path / "moe.gguf", "llama", experts=4, format="BF16"))
    with open_checkpoint(tmp_path / "moe.gguf") as source:
        experts = read_architecture(source).layers[0].experts
    assert experts is not None
    extra = (experts.used - 1) * 3 * 512 * 256 + 4 * 256  # more matrices, and the router
    assert mixed.forward == pytest.approx(dense.forward + 100 * extra / 1e6)
    name = "blk.0.ffn_down_exps.weight"
    assert mixed.rounding[name] == pytest.approx(4 * dense.rounding["blk.0.ffn_down.weight"])


def test_only_tensors_in_a_format_with_feedback_are_counted(tmp_path: Path) -> None:
    with open_checkpoint(write_model(tmp_path / "m.gguf", format="BF16")) as source:
        choices = choose_formats(source, "Q4_K_M", imatrix=False)
    by_format = {choice.name: choice.format.name for choice in choices if choice.changes}
    found = rounded_tensors(choices, ["Q6_K"])
    assert found == {name for name, format in by_format.items() if format == "Q6_K"} != set()


def test_rates_are_measured_once_a_day_and_again_if_the_record_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    measured: list[int] = []

    def measure(threads: int) -> WorkRates:
        measured.append(threads)
        return RATES

    monkeypatch.setattr(work_estimate, "measure_work_rates", measure)
    assert work_rates(1) == work_rates(1) == RATES
    assert measured == [1]
    assert work_rates(2) == RATES  # another number of threads
    assert measured == [1, 2]
    record = cache.load_record(RECORD_FILE)
    assert isinstance(record, dict)
    for damage in ({"rates": None}, {"rates": {"forward": "x"}}, {"time": 0.0}, {"time": "x"}):
        cache.save_record(RECORD_FILE, record | damage)
        assert work_rates(2) == RATES
    assert measured == [1, 2, 2, 2, 2, 2]


def test_measured_rates_are_positive() -> None:
    rates = work_estimate.measure_work_rates(1)
    assert min(vars(rates).values()) > 0
