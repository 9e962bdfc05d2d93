"""The reduction of logits against its specification, and against answers known beforehand."""

import numpy as np
import pytest
from numpy.typing import NDArray

from zeropoint.errors import MeasurementError
from zeropoint.kernels import compare


def logits(seed: int, n: int, vocab: int, spread: float = 3.0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, spread, (n, vocab)).astype(np.float32)


def targets(seed: int, n: int, vocab: int) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, vocab, n, dtype=np.int32)


@pytest.mark.parametrize("vocab", [1, 2, 7, 8, 9, 63, 64, 65, 1000, 49153])
@pytest.mark.parametrize("spread", [0.01, 3.0, 200.0])
def test_kernel_equals_its_twin(vocab: int, spread: float) -> None:
    """Each exponential is within 2^-51, sums of positive terms keep that; 1e-13 covers the rest."""
    a, b = logits(1, 5, vocab, spread), logits(2, 5, vocab, spread)
    ours = compare.compare_logits(a, b, targets(3, 5, vocab))
    twin = compare.compare_numpy(a, b, targets(3, 5, vocab))
    scale = 1 + np.abs(a - b).max()  # the sum in KL has terms of this size that cancel
    np.testing.assert_allclose(ours.kl, twin.kl, rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(ours.nll_reference, twin.nll_reference, rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(ours.nll_quant, twin.nll_quant, rtol=1e-13, atol=1e-13)
    np.testing.assert_array_equal(ours.top_ids, twin.top_ids)
    np.testing.assert_array_equal(ours.top_logp, twin.top_logp)


def test_a_model_has_no_divergence_from_itself() -> None:
    a = logits(1, 9, 4099, 20.0)
    assert (compare.compare_logits(a, a.copy(), targets(2, 9, 4099)).kl == 0.0).all()


def test_uniform_logits_have_the_entropy_of_the_vocabulary() -> None:
    a = np.full((3, 4096), 5.0, np.float32)
    result = compare.compare_logits(a, a, targets(2, 3, 4096))
    np.testing.assert_allclose(result.nll_quant, np.log(4096), rtol=1e-15)
    np.testing.assert_array_equal(
        result.top_ids[0, 0], np.arange(compare.TOP_TOKENS)
    )  # ties: lower id first


def test_two_tokens_give_the_textbook_divergence() -> None:
    p, q = np.array([0.75, 0.25]), np.array([0.5, 0.5])
    result = compare.compare_logits(
        np.log(p)[None].astype(np.float32),
        np.log(q)[None].astype(np.float32),
        np.zeros(1, np.int32),
    )
    expected = float((p * np.log(p / q)).sum())
    assert abs(result.kl[0] - expected) < 2e-7  # the logits were rounded to float32
    assert abs(result.nll_reference[0] + np.log(0.75)) < 2e-7


def test_threads_do_not_change_a_bit() -> None:
    a, b = logits(1, 13, 3001), logits(2, 13, 3001)
    one, three = (
        compare.compare_logits(a, b, targets(3, 13, 3001), threads=threads) for threads in (1, 3)
    )
    np.testing.assert_array_equal(one.kl, three.kl)
    np.testing.assert_array_equal(one.nll_quant, three.nll_quant)


def test_parts_of_the_vocabulary_change_no_bit() -> None:
    """The largest logit grows from part to part, so that sums are scaled."""
    vocab = 5 * compare.VOCABULARY_BLOCK_TOKENS + 7
    a, b = logits(1, 6, vocab), logits(2, 6, vocab)
    a += np.linspace(0, 30, vocab, dtype=np.float32)
    whole = compare.compare_logits(a, b, targets(3, 6, vocab))
    for cut in (1, 2, 4):
        parts = compare.Comparing(targets(3, 6, vocab), vocab)
        for start in range(0, vocab, cut * compare.VOCABULARY_BLOCK_TOKENS):
            part = slice(start, start + cut * compare.VOCABULARY_BLOCK_TOKENS)
            parts.add(a[:, part], b[:, part])
        found = parts.result()
        for name in ("kl", "nll_reference", "nll_quant", "top_ids", "top_logp"):
            np.testing.assert_array_equal(getattr(found, name), getattr(whole, name))
    twin = compare.compare_numpy(a, b, targets(3, 6, vocab))
    np.testing.assert_allclose(whole.kl, twin.kl, rtol=1e-12)


def test_a_broken_logit_in_a_later_part_is_named_by_its_place_in_the_text() -> None:
    a, b = logits(1, 4, 3000), logits(2, 4, 3000)
    b[1, 2500] = np.nan
    parts = compare.Comparing(targets(3, 4, 3000), 3000, first=256)
    parts.add(a[:, :2048], b[:, :2048])
    with pytest.raises(MeasurementError, match="quant's logit of token 2500 at position 257"):
        parts.add(a[:, 2048:], b[:, 2048:])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["reference", "quant"])
def test_a_logit_that_is_not_finite_is_named(value: float, side: str) -> None:
    a, b = logits(1, 4, 100), logits(2, 4, 100)
    (a if side == "reference" else b)[2, 37] = value
    with pytest.raises(MeasurementError, match=f"{side}'s logit of token 37 at position 2"):
        compare.compare_logits(a, b, targets(3, 4, 100))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(MeasurementError, match="vocabular"):
        compare.compare_logits(logits(1, 4, 100), logits(2, 4, 99), targets(3, 4, 99))
    with pytest.raises(MeasurementError, match="not among the model's 100"):
        compare.compare_logits(logits(1, 1, 100), logits(2, 1, 100), np.array([100], np.int32))
