"""The next token: what may be chosen, how often, and that a seed says it all."""

import numpy as np
import pytest

from zeropoint.models.sampling import GREEDY, Sampling, candidates, choose, penalize, uniform

LOGITS = np.log(np.array([0.05, 0.4, 0.1, 0.3, 0.15], np.float32))
OPEN = Sampling(top_k=0, top_p=1.0, min_p=0.0, temperature=1.0)


def drawn(sampling: Sampling, count: int = 4000) -> np.ndarray:
    """How often each token is chosen in `count` steps."""
    chosen = [choose(LOGITS, sampling, step) for step in range(count)]
    return np.bincount(chosen, minlength=LOGITS.size) / count


def test_temperature_0_takes_the_best_and_the_first_of_equals() -> None:
    assert choose(LOGITS, GREEDY, 0) == 1
    assert choose(np.array([1.0, 3.0, 3.0], np.float32), GREEDY, 0) == 1


def test_tokens_come_as_often_as_their_probability_says() -> None:
    # 4000 draws: five standard deviations of a share p are 5·√(p(1−p)/4000) < 0.04.
    assert np.abs(drawn(OPEN) - np.exp(LOGITS)).max() < 0.04


def test_temperature_sharpens() -> None:
    cold = Sampling(top_k=0, top_p=1.0, min_p=0.0, temperature=0.5)
    wanted = np.exp(2 * LOGITS) / np.exp(2 * LOGITS).sum()
    assert np.abs(drawn(cold) - wanted).max() < 0.04


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"top_k": 2}, [1, 3]),
        ({"top_p": 0.5}, [1, 3]),  # 0.4 is not enough, 0.7 is
        ({"top_p": 0.39}, [1]),
        ({"min_p": 0.3}, [1, 3, 4]),  # at least 0.12
        ({"top_k": 3, "min_p": 0.5}, [1, 3]),
        ({}, [1, 3, 4, 2, 0]),
    ],
)
def test_each_bound_leaves_out_what_it_says(changes: dict[str, float], wanted: list[int]) -> None:
    bounds = {"top_k": 0, "top_p": 1.0, "min_p": 0.0} | changes
    assert candidates(LOGITS, Sampling(**bounds)).tolist() == wanted  # type: ignore[arg-type]


def test_the_best_k_of_a_large_vocabulary_are_found() -> None:
    random = np.random.default_rng(3)
    for spread in (0.01, 1.0, 30.0):
        logits = (random.standard_normal(50_000) * spread).astype(np.float32)
        found = candidates(logits, Sampling(top_k=40, top_p=1.0, min_p=0.0))
        assert found.tolist() == np.argsort(-logits, kind="stable")[:40].tolist()


def test_repetition_is_punished_whatever_the_sign() -> None:
    logits = np.array([2.0, -2.0, 1.0], np.float32)
    np.testing.assert_array_equal(penalize(logits, [0, 1, 1], 2.0), [1.0, -4.0, 1.0])
    assert logits[0] == 2.0
    often = Sampling(temperature=0.0, repeat_penalty=4.0)
    assert choose(np.array([2.0, 1.0], np.float32), often, 0, [0]) == 1


def test_a_seed_and_a_step_say_which_token() -> None:
    first = [choose(LOGITS, Sampling(seed=5), step) for step in range(50)]
    assert first == [choose(LOGITS, Sampling(seed=5), step) for step in range(50)]
    assert first != [choose(LOGITS, Sampling(seed=6), step) for step in range(50)]
    assert choose(LOGITS, Sampling(seed=5), 20) == first[20]  # without the steps before it


def test_models_that_hardly_differ_hardly_differ_in_what_they_say() -> None:
    """The noise belongs to the token: nearly equal logits choose the same one nearly always."""
    moved = LOGITS + np.array([0.02, -0.02, 0.02, -0.02, 0.02], np.float32)
    same = sum(choose(LOGITS, OPEN, step) == choose(moved, OPEN, step) for step in range(2000))
    assert same > 1940  # independent noise would agree in 29 % of the steps


def test_the_noise_is_uniform_and_uncorrelated() -> None:
    values = np.stack([uniform(1, step, np.arange(1000)) for step in range(100)])
    assert 0 < values.min() and values.max() < 1
    counts = np.bincount((values * 10).astype(int).reshape(-1), minlength=10)
    # 100,000 numbers in 10 bins: five standard deviations are 5·√9000 < 480.
    assert np.abs(counts - 10_000).max() < 480
    assert abs(np.corrcoef(values[0], values[1])[0, 1]) < 0.16
    assert abs(np.corrcoef(values[:, 0], values[:, 1])[0, 1]) < 0.5


@pytest.mark.parametrize(
    "changes", [{"temperature": -1}, {"top_p": 0}, {"min_p": 2}, {"repeat_penalty": 0}]
)
def test_numbers_that_mean_nothing_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be (at least|greater than) 0"):
        Sampling(**changes)  # type: ignore[arg-type]
