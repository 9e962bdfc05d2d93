"""Rates, flips and several tests at once, against exact sums and known coverage."""

from itertools import product
from math import comb, sqrt

import numpy as np
import pytest

from zeropoint.metrics.statistics import clustered_rate, holm, mcnemar, paired_share, wilson


@pytest.mark.parametrize(
    ("rate", "coverage"), [(0.02, 0.954330), (0.3, 0.944288), (0.5, 0.961523), (0.9, 0.943317)]
)
def test_wilsons_interval_covers_as_often_as_it_says(rate: float, coverage: float) -> None:
    """Summed over all counts of 40 trials, weighted by how likely each of them is.

    The interval holds a rate if the score test |p̂ − p| ≤ z √(p (1 − p) / n) does not reject it.
    """
    covered = 0.0
    for hits in range(41):
        interval = wilson(hits, 40)
        holds = interval.low <= rate <= interval.high
        assert holds == (abs(hits / 40 - rate) <= 1.959964 * sqrt(rate * (1 - rate) / 40))
        covered += holds * comb(40, hits) * rate**hits * (1 - rate) ** (40 - hits)
    assert covered == pytest.approx(coverage, abs=1e-6)


def test_a_share_of_nothing_is_unknown() -> None:
    assert np.isnan(wilson(0, 0).mean)
    assert wilson(3, 3).high == 1.0 and wilson(3, 3).low > 0.4


@pytest.mark.parametrize(("lost", "won"), list(product(range(6), repeat=2)))
def test_mcnemar_is_the_share_of_coin_tosses_at_least_as_uneven(lost: int, won: int) -> None:
    tosses = list(product([0, 1], repeat=lost + won))
    uneven = [abs(2 * sum(toss) - lost - won) >= abs(lost - won) for toss in tosses]
    assert mcnemar(lost, won) == pytest.approx(np.mean(uneven))


def test_holm_shows_what_is_left_after_each_that_is_shown() -> None:
    assert holm([0.001, 0.012, 0.02]) == [True, True, True]
    assert holm([0.001, 0.03, 0.04]) == [True, False, False]
    assert holm([]) == []


@pytest.mark.parametrize("correlation", [0.0, 0.05])
@pytest.mark.parametrize(
    ("rate", "most_covered", "most_width"),
    [(0.001, 1.0, 2.8), (0.02, 0.99, 1.5), (0.3, 0.99, 1.2), (0.9, 0.99, 1.2)],
)
def test_a_rate_over_texts_covers_and_is_not_wide(
    rate: float, most_covered: float, most_width: float, correlation: float
) -> None:
    """24 texts of 64 tokens, which are correlated within a text or not.

    Of 300 draws of 95 %, three standard deviations are 3.8 %. The mean width is compared with that
    of the normal distribution with the true variance, p (1 − p) (1 + 63 correlation) / 1536. With 1
    or 2 hits among 1536 trials, any interval that covers is wider and covers more often.
    """
    random = np.random.default_rng(2)
    spread = 1 / correlation - 1 if correlation else 0
    hits, widths = 0, []
    for _ in range(300):
        rates = random.beta(rate * spread, (1 - rate) * spread, 24) if spread else np.full(24, rate)
        found = clustered_rate(random.binomial(64, rates).astype(float), np.full(24, 64.0))
        hits += found.low <= rate <= found.high
        widths.append(found.high - found.low)
    normal = 2 * 1.96 * sqrt(rate * (1 - rate) * (1 + 63 * correlation) / (24 * 64))
    assert 0.91 * 300 <= hits <= most_covered * 300
    assert 0.9 * normal <= np.mean(widths) <= most_width * normal


def test_a_share_of_one_text_has_no_interval_and_of_nothing_no_mean() -> None:
    one, none = (
        clustered_rate(np.array([1.0]), np.array([4.0])),
        clustered_rate(np.zeros(2), np.zeros(2)),
    )
    assert one.mean == 0.25 and np.isnan(one.low) and np.isnan(none.mean)


@pytest.mark.parametrize(
    ("lost", "won", "most_covered", "most_width"),
    [(0.0, 0.0, 1.0, 1.1), (0.01, 0.01, 1.0, 2.2), (0.05, 0.02, 0.99, 1.3), (0.3, 0.1, 0.99, 1.1)],
)
def test_a_difference_of_paired_rates_covers_and_is_not_wide(
    lost: float, won: float, most_covered: float, most_width: float
) -> None:
    """56 trials, 200 times. The mean width is compared with that of Bonett and Price's interval at
    the true rates. Where almost no trial differs, the interval must be wider than chance."""
    random = np.random.default_rng(3)
    hits, widths = 0, []
    for _ in range(200):
        counts = random.multinomial(56, (lost, won, 1 - lost - won))
        found = paired_share(int(counts[0]), int(counts[1]), 56)
        hits += found.low <= won - lost <= found.high
        widths.append(found.high - found.low)
    one_more_lost, one_more_won = (56 * lost + 1) / 58, (56 * won + 1) / 58
    variance = one_more_lost + one_more_won - (one_more_won - one_more_lost) ** 2
    normal = 2 * 1.96 * sqrt(variance / 58)
    assert 0.91 * 200 <= hits <= most_covered * 200
    assert 0.85 * normal <= np.mean(widths) <= most_width * normal


def test_no_change_in_few_tasks_is_no_proof_that_there_is_none() -> None:
    few, many = paired_share(0, 0, 10), paired_share(0, 0, 1000)
    assert few.mean == 0 and few.low < -0.1 and few.high > 0.1 and many.high < 0.01
