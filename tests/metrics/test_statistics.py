"""Intervals cover what they say they cover, and tests reject as often as they may."""

import numpy as np
import pytest

from zeropoint.metrics.statistics import estimate, paired_p_value


@pytest.mark.parametrize("spread", [0.2, 0.5])
def test_intervals_from_16_skewed_chunks_cover_92_to_98_percent(spread: float) -> None:
    """Chunk means of KL look log-normal; a percentile interval would cover about 89 % here."""
    generator = np.random.default_rng(1)
    truth, tokens = float(np.exp(spread**2 / 2)), np.full(16, 255.0)
    hits = 0
    for _ in range(1000):
        found = estimate(generator.lognormal(0, spread, 16) * 255, tokens)
        hits += found.low <= truth <= found.high
    assert 920 <= hits <= 980


@pytest.mark.parametrize("chunks", [2, 3, 5])
def test_intervals_from_few_chunks_cover_and_are_no_longer_than_students(chunks: int) -> None:
    """Of 1,000 draws of 95 %, three standard deviations are 2 %; the skew of 0.2 costs 1 % more."""
    generator = np.random.default_rng(3)
    truth, hits = float(np.exp(0.2**2 / 2)), 0
    for _ in range(1000):
        found = estimate(values := generator.lognormal(0, 0.2, chunks), np.ones(chunks))
        hits += found.low <= truth <= found.high
        error = values.std(ddof=1) / np.sqrt(chunks)
        assert found.half_width < 12.8 * error
    assert 920 <= hits <= 971


def test_an_interval_respects_that_tokens_of_a_chunk_agree() -> None:
    """Doubling the tokens of each chunk without new information must not narrow the interval."""
    means = np.random.default_rng(2).lognormal(0, 0.5, 20)
    short, long = (estimate(means * n, np.full(20, float(n))) for n in (100, 200))
    assert short.low == pytest.approx(long.low, rel=1e-12)


def test_chunks_without_tokens_of_a_class_do_not_count() -> None:
    sums, counts = np.array([4.0, 0.0, 2.0, 3.0]), np.array([2.0, 0.0, 2.0, 2.0])
    assert estimate(sums, counts) == estimate(sums[counts > 0], counts[counts > 0])


def test_one_chunk_has_a_mean_and_no_interval() -> None:
    found = estimate(np.array([2.0]), np.array([4.0]))
    assert found.mean == 0.5
    assert np.isnan(found.low)
    assert np.isnan(found.high)


def test_no_tokens_have_no_mean() -> None:
    assert np.isnan(estimate(np.zeros(3), np.zeros(3)).mean)


def test_equal_chunks_have_an_interval_of_no_length() -> None:
    found = estimate(np.full(5, 0.75), np.full(5, 3.0))
    assert (found.low, found.high) == (0.25, 0.25)


def test_the_paired_test_rejects_chance_in_about_5_percent() -> None:
    """Of 400 draws, 5 % are 20 ± 4.4; three standard deviations are 7 … 33."""
    generator = np.random.default_rng(3)
    hits = sum(paired_p_value(generator.normal(0, 1, 20)) < 0.05 for _ in range(400))
    assert 7 <= hits <= 33


def test_the_paired_test_sees_a_small_but_steady_difference() -> None:
    noise = np.random.default_rng(4).normal(0, 1, 40)
    assert paired_p_value(noise + 1.0) < 0.001


def test_equal_quants_have_a_p_value_of_one() -> None:
    assert paired_p_value(np.zeros(10)) == 1.0
