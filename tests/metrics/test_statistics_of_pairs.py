"""Shares, changes of mind and several tests at once: against what is counted by hand."""

from itertools import product

import numpy as np
import pytest

from zeropoint.metrics.statistics import holm, mcnemar, paired_share, share, wilson


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5, 0.9])
def test_wilsons_interval_covers_as_often_as_it_says(share: float) -> None:
    """Summed over all counts of 40 trials, weighted by how likely each is."""
    random = np.random.default_rng(1)
    hits = random.binomial(40, share, 4000)
    inside = [wilson(int(n), 40).low <= share <= wilson(int(n), 40).high for n in hits]
    assert 0.92 <= np.mean(inside) <= 0.99


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


@pytest.mark.parametrize("together", [0.0, 0.05])
@pytest.mark.parametrize("rate", [0.001, 0.02, 0.3, 0.9])
def test_a_share_over_texts_covers_also_where_almost_none_or_all_are_hits(
    rate: float, together: float
) -> None:
    """24 texts of 64 tokens; the tokens of a text belong `together` or do not. Of 300 draws of
    95 %, three standard deviations are 3.8 %."""
    random = np.random.default_rng(2)
    spread = 1 / together - 1 if together else 0
    hits = 0
    for _ in range(300):
        rates = random.beta(rate * spread, (1 - rate) * spread, 24) if spread else np.full(24, rate)
        found = share(random.binomial(64, rates).astype(float), np.full(24, 64.0))
        hits += found.low <= rate <= found.high
    assert hits >= 0.91 * 300


def test_a_share_of_one_text_has_no_interval_and_of_nothing_no_mean() -> None:
    one, none = share(np.array([1.0]), np.array([4.0])), share(np.zeros(2), np.zeros(2))
    assert one.mean == 0.25 and np.isnan(one.low) and np.isnan(none.mean)


@pytest.mark.parametrize(("lost", "won"), [(0.0, 0.0), (0.01, 0.01), (0.05, 0.02), (0.3, 0.1)])
def test_a_difference_of_paired_shares_covers_also_where_few_differ(
    lost: float, won: float
) -> None:
    random = np.random.default_rng(3)
    hits = 0
    for _ in range(200):
        counts = random.multinomial(56, (lost, won, 1 - lost - won))
        found = paired_share(int(counts[0]), int(counts[1]), 56)
        hits += found.low <= won - lost <= found.high
    assert hits >= 0.91 * 200


def test_no_change_in_few_tasks_is_no_proof_that_there_is_none() -> None:
    few, many = paired_share(0, 0, 10), paired_share(0, 0, 1000)
    assert few.mean == 0 and few.low < -0.1 and few.high > 0.1 and many.high < 0.01
