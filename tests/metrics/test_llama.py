"""llama-perplexity's file and figures, on logits whose answers are known."""

from pathlib import Path

import numpy as np
import pytest

from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.kernels.compare import compare_numpy
from zeropoint.metrics.peers import llama_base_file as llama


def write(path: Path, logits: np.ndarray, tokens: np.ndarray) -> None:
    with path.open("wb") as file:
        llama.write_base_header(file, logits.shape[-1], tokens)
        for chunk in logits:
            file.write(llama.encode_rows(chunk).tobytes())


@pytest.mark.parametrize("vocab", [5, 64])
def test_what_is_written_is_read_back(tmp_path: Path, vocab: int) -> None:
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, vocab, (3, 16), dtype=np.int32)
    logits = generator.normal(0, 4, (3, 7, vocab)).astype(np.float32)
    write(tmp_path / "base", logits, tokens)
    base = llama.open_base(tmp_path / "base")
    assert (base.context, base.vocabulary, base.scored) == (16, vocab, 7)
    np.testing.assert_array_equal(base.tokens, tokens)
    for rows, chunk in zip(llama.read_base_rows(base), logits, strict=True):
        np.testing.assert_array_equal(rows, llama.encode_rows(chunk))


def test_a_stored_logit_is_off_by_half_a_step_at_most() -> None:
    """The step is at most 16 / 65535; 2e-6 covers float32 of numbers below 32."""
    logits = np.random.default_rng(1).normal(0, 3, (4, 1000)).astype(np.float32)
    rows = llama.encode_rows(logits)
    header = np.ascontiguousarray(rows[:, :4]).view(np.float32)
    log_p = header[:, :1] * rows[:, 4:] + header[:, 1:2]
    exact = logits - np.log(np.exp(logits.astype(np.float64)).sum(1))[:, None]
    kept = logits > logits.max(1)[:, None] - 16
    assert (np.abs(log_p - exact)[kept] <= 16 / 65535 / 2 + 2e-6).all()


def test_constant_logits_are_stored_without_a_scale() -> None:
    rows = llama.encode_rows(np.full((1, 8), 3.0, np.float32))
    header = np.ascontiguousarray(rows[:, :4]).view(np.float32)
    assert header[0, 0] == 0
    assert header[0, 1] == np.float32(-np.log(8))


def test_its_figures_agree_with_ours_up_to_its_rounding() -> None:
    """Half a step of 2.4e-4 nats moves a KL by less than that; figures are means of many such."""
    generator = np.random.default_rng(2)
    a = generator.normal(0, 3, (300, 500)).astype(np.float32)
    b = a + generator.normal(0, 0.3, a.shape).astype(np.float32)
    targets = generator.integers(0, 500, 300, dtype=np.int32)
    theirs = llama.score_rows(llama.encode_rows(a), b, targets)
    ours = compare_numpy(a, b, targets)
    np.testing.assert_allclose(theirs.kld, ours.kl, rtol=0, atol=2.5e-4)
    np.testing.assert_allclose(theirs.nll, ours.nll_quant, rtol=0, atol=1e-5)
    np.testing.assert_allclose(theirs.nll_base, ours.nll_reference, rtol=0, atol=1.3e-4)
    tables = llama.statistics(theirs)
    mean = tables["KL divergence statistics"][0]
    assert abs(mean.value - ours.kl.mean()) < 1e-5
    same = tables["Token probability statistics"][-1]
    assert abs(same.value - ours.same_top.mean()) <= 1 / 300


def test_percentiles_interpolate_between_tokens() -> None:
    kld = np.arange(101.0)
    scores = llama.TokenScores(kld, kld, kld, kld / 1000, kld > 50)
    figures = {f.name: f.value for f in llama.statistics(scores)["KL divergence statistics"]}
    assert figures["Median  KLD"] == 50
    assert figures["99.9%   KLD"] == pytest.approx(99.9)
    assert figures["Maximum KLD"] == 100


def test_fewer_than_100_tokens_are_not_summed_up() -> None:
    few = np.zeros(99)
    with pytest.raises(MeasurementError, match="99 scored tokens"):
        llama.statistics(llama.TokenScores(few, few, few, few, few > 0))


def test_every_truncation_of_a_base_file_is_refused(tmp_path: Path) -> None:
    tokens = np.zeros((2, 8), np.int32)
    write(tmp_path / "base", np.zeros((2, 3, 6), np.float32), tokens)
    whole = (tmp_path / "base").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            llama.open_base(tmp_path / "cut")


def test_another_vocabulary_is_refused() -> None:
    rows = llama.encode_rows(np.zeros((2, 8), np.float32))
    with pytest.raises(MeasurementError, match="vocabulary"):
        llama.score_rows(rows, np.zeros((2, 12), np.float32), np.zeros(2, np.int32))
