"""Losses that are predicted from forward passes alone: the formulas, and a search with them."""

from pathlib import Path

import numpy as np
import pytest

import zeropoint as zp
from support.search_runs import write_search_text
from support.tiny_models import write_model
from zeropoint.allocation.output_errors import FACTORS, InputSums, predict_from_outputs
from zeropoint.allocation.predicted_loss import PredictedLosses, PredictionText, SequencesRead
from zeropoint.allocation.sampled_errors import read_rows, sample_rows
from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.text_parts import open_parts
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.models import load_model
from zeropoint.plans.formats.roles import Role


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("outputs")
    write_search_text(folder / "text.txt")
    return open_checkpoint(write_model(folder / "dense.gguf"))


def read(source: Checkpoint, tokens: np.ndarray) -> InputSums:
    sums = InputSums(load_model(source, threads=1))
    sums.read(Chunk("text", tokens))
    return sums


def test_the_error_of_a_matrix_is_that_of_its_outputs_at_every_token(source: Checkpoint) -> None:
    name, tokens = "blk.1.ffn_down.weight", np.arange(5, 21, dtype=np.int32)
    inputs: list[np.ndarray] = []
    model = load_model(source, threads=1)
    model.set_hook(name, lambda rows, expert: inputs.append(rows.copy()))
    model.hidden(tokens)
    info = source.tensors[name]
    every = np.arange(info.rows)
    weights = read_rows(source, name, every, threads=1).astype(np.float64)
    errors = np.random.default_rng(0).normal(0, 0.01, weights.shape).astype(np.float32)
    x = inputs[0].astype(np.float64)
    rows = weights[:: info.rows // 64]
    norms = np.square(x @ rows.T).mean(axis=1) * info.rows
    expected = ((np.square(x) @ np.square(errors.astype(np.float64)).T).sum(axis=1) / norms).mean()
    sample = sample_rows(info, every)
    found = read(source, tokens).loss("text", name, sample, weights.astype(np.float32), errors)
    # The norms are sums of products in float32.
    assert found == pytest.approx(FACTORS[Role.FFN_DOWN] * expected, rel=1e-5)


def test_the_error_of_the_output_matrix_counts_at_the_next_token(source: Checkpoint) -> None:
    name, tokens = "output.weight", np.array([7, 3, 9, 3], np.int32)
    states = load_model(source, threads=1).hidden(tokens).astype(np.float64)
    info = source.tensors[name]
    errors = np.random.default_rng(1).normal(0, 0.01, info.shape).astype(np.float32)
    terms = [
        (np.square(errors[after].astype(np.float64)) * np.square(state)).sum()
        for after, state in zip(tokens[1:], states[:-1], strict=True)
    ]
    sample = sample_rows(info, np.arange(info.rows))
    found = read(source, tokens).loss("text", name, sample, errors, errors)
    assert found == pytest.approx(0.5 * float(np.mean(terms)), rel=1e-6)


def test_fewer_bits_lose_more_and_kept_tensors_nothing(source: Checkpoint) -> None:
    text = open_parts([source.path.with_name("text.txt")])["calibrate"]
    names = [name for name, info in source.tensors.items() if len(info.shape) == 2]
    menu = {name: ("keep", "Q8_0", "Q4_0", "Q2_0") for name in names}
    *progress, result = predict_from_outputs(source, PredictionText(text, 256), menu, threads=1)
    assert isinstance(progress[0], SequencesRead) and isinstance(result, PredictedLosses)
    assert list(result.table) == names
    for losses in result.table.values():
        assert losses["keep"] == 0 < losses["Q8_0"] < losses["Q4_0"] < losses["Q2_0"]
    assert result.by_domain["text"] == result.table  # the only domain
    assert result.calibration.tokens == result.tokens


@pytest.mark.parametrize("experts", [0, 4])
def test_a_search_without_gradients_finds_a_recipe(
    source: Checkpoint, experts: int, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model.gguf", experts=experts)
    result = zp.search(
        model, bits=4.5, text=source.path.with_name("text.txt"), effort="quick", evaluations=1,
        prediction="outputs",
    )  # fmt: skip
    (point,) = result.points
    assert 0.97 * point.budget_bytes < point.file_bytes <= point.budget_bytes
    assert point.measured is not None and point.measured.kl.mean > 0
