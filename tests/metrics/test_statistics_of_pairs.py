"""Shares, changes of mind and several tests at once: against what is counted by hand."""

from itertools import product

import numpy as np
import pytest

from zeropoint.metrics.statistics import holm, mcnemar, wilson


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
