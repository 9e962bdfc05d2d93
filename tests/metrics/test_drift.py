"""PairedGeneration of models whose error rate is known comes out as it was made."""

from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from support.token_rules import Rule, Walker, slipping, two_rooms
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import CheckpointError
from zeropoint.metrics.generation.divergence_point import (
    ContinuationPair,
    FreeRunSettings,
    PairedGeneration,
    ReferenceTexts,
)
from zeropoint.metrics.generation.paired_sampling import TeacherForced
from zeropoint.metrics.generation.summary import (
    compounding,
    free_run_figures,
    median_divergence,
    survival,
)
from zeropoint.models import load_model
from zeropoint.results.drift import MedianDivergence
from zeropoint.results.run_store import RunFolder

NONE: frozenset[int] = frozenset()


def drift(
    reference: Rule, quant: Rule, vocab: int, prompts: int, **settings: object
) -> PairedGeneration:
    found = PairedGeneration(
        ReferenceTexts(Walker(reference, vocab)),
        Walker(quant, vocab),
        [[index % vocab, index * 3 % vocab, index % 5] for index in range(prompts)],
        NONE,
        FreeRunSettings(**settings),  # type: ignore[arg-type]
    )
    for record in found.run():
        assert record.done <= found.total
    assert record.done == found.total
    return found


def starts(count: int, vocab: int) -> list[list[int]]:
    """Prompts of different lengths: no two texts walk the same path."""
    return [[index % vocab] * (1 + index // vocab) for index in range(count)]


def test_survival_is_that_of_a_known_error_rate() -> None:
    """A slip at 5 % of all steps: (1 − 0.05)^t of the texts are still the same after t."""
    rate, limit, count = 0.05, 24, 320
    found = PairedGeneration(
        ReferenceTexts(Walker(slipping(0.0), 64)),
        Walker(slipping(rate), 64),
        starts(count, 64),
        NONE,
        FreeRunSettings(max_tokens=limit, modes=("greedy",)),
    )
    list(found.run())
    figures = free_run_figures(found.pairs, limit)["greedy"]
    curve = figures.survival
    truth = (1 - rate) ** np.arange(1, limit + 1)
    inside = (np.array(curve.low) <= truth) & (truth <= np.array(curve.high))
    assert inside.mean() >= 0.9  # a 95 % band, point by point
    flips = figures.flips_per_token
    assert flips.low < rate < flips.high and flips.high - flips.low < 0.02
    np.testing.assert_allclose(curve.predicted, (1 - flips.mean) ** np.arange(1, limit + 1))
    split = figures.split
    assert split.low <= np.ceil(np.log(0.5) / np.log(1 - rate)) <= split.high


def test_losses_that_compound_have_the_computed_factor() -> None:
    """Two rooms: the quant enters the bad one more often, and stays there.

    KL of one step depends on the room alone, and the share of time in the bad room on each path is
    a Markov chain of two states.
    """
    a, b, stay_r, stay_q, limit = 0.10, 0.30, 0.10, 0.80, 16
    found = drift(
        two_rooms(a, stay_r),
        two_rooms(b, stay_q),
        16,
        240,
        max_tokens=limit,
        modes=("sampled",),
        seed=2,
    )

    def divergence(p: float, q: float) -> float:
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    def bad_share(enter: float, stay: float) -> np.ndarray:
        shares = [0.0]  # every prompt ends in the good room
        for _ in range(limit - 1):
            shares.append((1 - shares[-1]) * enter + shares[-1] * stay)
        return np.array(shares)

    good, bad = divergence(a, b), divergence(stay_r, stay_q)
    own = np.cumsum(good + bad_share(b, stay_q) * (bad - good))
    predicted = np.cumsum(good + bad_share(a, stay_r) * (bad - good))
    back = np.cumsum(
        divergence(b, a) + bad_share(b, stay_q) * (divergence(stay_q, stay_r) - divergence(b, a))
    )
    factor = own / predicted
    truths = {"own": own, "predicted": predicted, "texts_back": back, "factor": factor}
    inside = []
    for steps in (1, 2, 4, 8, 16):
        figures = compounding(found.pairs, steps)
        for name, truth in truths.items():
            told = getattr(figures, name)
            inside.append(told.low - 1e-6 <= truth[steps - 1] <= told.high + 1e-6)
    assert len(inside) == 20 and sum(inside) >= 19  # of 95 % intervals, one may miss
    assert compounding(found.pairs, 1).factor.mean == pytest.approx(1, abs=1e-6)
    assert compounding(found.pairs, 16).factor.low > 1.5


def test_losses_that_only_add_up_have_the_factor_one() -> None:
    found = drift(
        two_rooms(0.2, 0.2), two_rooms(0.4, 0.4), 16, 100, max_tokens=8, modes=("sampled",)
    )
    factor = compounding(found.pairs, 8).factor
    assert factor.mean == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("heat", [0.7, 1.0, 1.6])
def test_a_model_never_differs_from_itself(heat: float) -> None:
    rule = two_rooms(0.3, 0.6)
    found = drift(rule, rule, 16, 60, max_tokens=20, temperature=heat)
    assert all(pair.divergence_step is None for pair in found.pairs)
    for way in free_run_figures(found.pairs, 20).values():
        assert way.split.median is None and way.split.never.mean == 1
        assert way.kl_per_token.mean == 0 and way.flips_per_token.mean == 0
        assert way.compounding[-1].factor.empty


def test_the_same_noise_keeps_two_models_together_longer_than_other_noise() -> None:
    """Coupling is worth something: with own noise the texts part at once."""
    near = drift(
        two_rooms(0.3, 0.6), two_rooms(0.31, 0.6), 16, 80, max_tokens=8, modes=("sampled",)
    )
    share = free_run_figures(near.pairs, 8)["sampled"].survival.share
    assert share[3] > 0.8
    seeds = drift(two_rooms(0.3, 0.6), two_rooms(0.3, 0.6), 16, 80, max_tokens=8, seed=1)
    other = {pair.index: pair.reference for pair in seeds.pairs if pair.mode == "sampled"}
    assert np.mean([other[p.index][:4] == p.reference[:4] for p in near.pairs]) < 0.2


def test_what_single_tokens_say_is_told_on_the_references_path() -> None:
    """The share of flips counts steps after the first split too, from the reference's beginning."""
    found = drift(slipping(0.0), slipping(0.5), 64, 40, max_tokens=10, modes=("greedy",))
    for pair in found.pairs:
        flips = np.flatnonzero(~pair.on_reference.same)
        assert pair.divergence_step == (flips[0] if flips.size else None)


def test_what_flips_predict_knows_that_texts_end() -> None:
    """Half of the texts have 2 tokens, half 4, and one of all 60 flips: (59/60)^2 and ^4."""
    pairs = []
    for index in range(20):
        path = [1] * (2 if index % 2 else 4)
        same = np.array([index > 0 or step > 0 for step in range(len(path))])
        along = TeacherForced(np.zeros((len(path), 2)), np.zeros((len(path), 2)), same)
        pairs.append(ContinuationPair(index, "greedy", path, path, along, along))
    predicted = free_run_figures(pairs, 6)["greedy"].survival.predicted
    kept = 59 / 60
    shares = [kept, kept**2, (kept**2 + kept**3) / 2, (kept**2 + kept**4) / 2]
    np.testing.assert_allclose(predicted, [*shares, shares[-1], shares[-1]])


def test_no_flip_in_a_few_texts_is_no_proof_that_there_is_none() -> None:
    found = drift(slipping(0.0), slipping(0.0), 64, 8, max_tokens=8, modes=("greedy",))
    flips = free_run_figures(found.pairs, 8)["greedy"].flips_per_token
    assert flips.mean == flips.low == 0 and 0.02 < flips.high < 0.1


def test_survival_and_the_median_of_a_few_texts_by_hand() -> None:
    curve = survival([0, 1, 3, None], 4)
    assert [point.mean for point in curve] == [0.75, 0.5, 0.5, 0.25]
    assert median_divergence(curve).median == 2
    assert median_divergence(survival([None] * 50, 4)) == MedianDivergence(None, None, None)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    reference = write_model(folder / "f16.gguf", columns=128)
    return reference, write_model(folder / "q8.gguf", columns=128, format="Q8_0")


def tiny(models: tuple[Path, Path], run: RunFolder | None) -> PairedGeneration:
    reference, quant = (load_model(open_checkpoint(path), threads=1) for path in models)
    prompts = [[1, 40 + index, 50, 60] for index in range(6)]
    settings = FreeRunSettings(max_tokens=10, batch_size=2)
    return PairedGeneration(ReferenceTexts(reference), quant, prompts, NONE, settings, run)


def test_a_run_goes_on_where_it_was_stopped(models: tuple[Path, Path], tmp_path: Path) -> None:
    """Bit by bit the same pairs as in one go, and nothing is written twice."""
    whole = tiny(models, None)
    list(whole.run())
    run = RunFolder.start(tmp_path / "run", "drift", {"a": 1}, {})
    first = tiny(models, run)
    for record in first.run():
        if record.pairs == 4:
            break
    second = tiny(models, RunFolder.start(tmp_path / "run", "drift", {"a": 1}, {}))
    list(second.run())
    assert len(second.pairs) == len(whole.pairs) == 12
    for ours, theirs in zip(second.pairs, whole.pairs, strict=True):
        assert (ours.index, ours.mode) == (theirs.index, theirs.mode)
        assert (ours.reference, ours.quant) == (theirs.reference, theirs.quant)
        np.testing.assert_array_equal(ours.on_quant.kl, theirs.on_quant.kl)
        np.testing.assert_array_equal(ours.on_reference.same, theirs.on_reference.same)
    assert second.reference.texts == whole.reference.texts
    third = PairedGeneration(second.reference, second.quant, whole.prompts, NONE, whole.settings)
    list(third.run())  # the reference's texts are read again and not written
    for ours, theirs in zip(third.pairs, whole.pairs, strict=True):
        np.testing.assert_array_equal(ours.on_reference.kl, theirs.on_reference.kl)
        np.testing.assert_array_equal(ours.on_quant.kl, theirs.on_quant.kl)
    (tmp_path / "run/chunks/00003.npz").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="damaged"):
        list(tiny(models, run).run())
