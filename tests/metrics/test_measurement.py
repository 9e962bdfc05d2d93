"""Measuring fakes: figures come out as computed by hand, whatever the batch, tile or order."""

import json
import tracemalloc

import numpy as np
import pytest

from support.table_models import FakeModel, random_tokens
from zeropoint.calibration.chunks import Chunk, cut_chunks
from zeropoint.errors import MeasurementError
from zeropoint.kernels.compare import compare_numpy
from zeropoint.metrics.divergence import score_chunks as scoring
from zeropoint.metrics.divergence.gate import parse_gate
from zeropoint.metrics.divergence.summary import summarize
from zeropoint.metrics.divergence.verdict import THRESHOLDS, verdict
from zeropoint.metrics.statistics import ConfidenceInterval


def measured(noise: float = 0.3, chunks: int = 12, **options: int) -> list[scoring.ChunkScores]:
    texts = {
        "prose": random_tokens(32 * chunks // 2),
        "code": random_tokens(32 * chunks // 2, seed=6),
    }
    cut = cut_chunks(texts, 32)
    return list(scoring.score_chunks(FakeModel(), FakeModel(noise=noise), cut, **options))


def test_the_figures_are_those_of_the_whole_distribution() -> None:
    """Against a table lookup that never goes through chunks or parts. float32 heads: 1e-6."""
    chunks = measured()
    result = summarize(chunks)
    previous = np.concatenate([c.tokens[16:31] for c in chunks])
    targets = np.concatenate([c.tokens[17:] for c in chunks])
    expected = compare_numpy(
        FakeModel().table[previous], FakeModel(noise=0.3).table[previous], targets
    )
    assert result.tokens == 12 * 15
    assert result.kl.mean == pytest.approx(expected.kl.mean(), rel=1e-6)
    assert result.kl.max == pytest.approx(expected.kl.max(), rel=1e-6)
    assert result.perplexity.reference == pytest.approx(np.exp(expected.nll_reference.mean()))
    assert result.top1 == expected.same_top.mean()
    assert result.kl.ends is not None
    assert result.kl.ends[0] < result.kl.mean < result.kl.ends[1]
    assert json.loads(json.dumps(result.to_json())) == result.to_json()


def test_batches_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one = measured(batch=1)
    monkeypatch.setattr(scoring, "MAX_POSITIONS", 5)
    five = measured(batch=5)
    for a, b in zip(one, five, strict=True):
        np.testing.assert_array_equal(a.comparison.kl, b.comparison.kl)
        np.testing.assert_array_equal(a.comparison.top_logp, b.comparison.top_logp)


def test_a_model_against_itself_loses_exactly_nothing() -> None:
    result = summarize(measured(noise=0.0))
    assert (result.kl.mean, result.kl.max, result.top1) == (0.0, 0.0, 1.0)
    assert result.perplexity.ratio.mean == 1.0
    assert result.verdict.word == "INDISTINGUISHABLE"


def test_domains_take_turns_and_are_told_apart() -> None:
    chunks = measured()
    assert [c.domain for c in chunks[:4]] == ["prose", "code", "prose", "code"]
    result = summarize(chunks)
    assert set(result.by_domain) == {"prose", "code"}
    assert sum(part.tokens for part in result.by_domain.values()) == result.tokens
    assert sum(part.tokens for part in result.by_position.values()) == result.tokens


def long_and_short() -> list[Chunk]:
    """Two chunks of 32 tokens, then documents of 200 and 70 of which the last 12 are scored."""
    short = cut_chunks({"t": random_tokens(64)}, 32)
    return [*short, *(Chunk("long", random_tokens(size), scored=12) for size in (200, 70))]


def test_a_long_document_is_scored_at_its_end() -> None:
    models = FakeModel(), FakeModel(noise=0.3)
    chunks = list(scoring.score_chunks(*models, long_and_short(), batch=8))
    assert [(c.index, c.first, c.comparison.kl.size) for c in chunks] == [
        (0, 16, 15), (1, 16, 15), (2, 187, 12), (3, 57, 12),
    ]  # fmt: skip
    document = chunks[2].tokens
    expected = compare_numpy(
        models[0].table[document[187:199]], models[1].table[document[187:199]], document[188:]
    )
    assert chunks[2].comparison.kl.mean() == pytest.approx(expected.kl.mean(), rel=1e-6)


def test_a_short_document_never_scores_its_first_half() -> None:
    assert Chunk("long", random_tokens(16), scored=12).first == 8


def test_positions_of_long_documents_have_bins_of_their_own() -> None:
    models = FakeModel(), FakeModel(noise=0.3)
    result = summarize(list(scoring.score_chunks(*models, long_and_short())))
    short = ["16-18", "19-22", "23-26", "27-30"]
    assert [*result.by_position][:4] == short
    assert {"57-59", "187-189", "196-198"} <= result.by_position.keys()
    assert sum(result.by_position[name].tokens for name in short) == 30
    assert sum(part.tokens for part in result.by_position.values()) == result.tokens


def test_token_classes_part_the_tokens() -> None:
    texts = {0: " the", 1: "7", 2: "{", 3: "();"}
    result = summarize(measured(), token_text=lambda token: texts[token % 4])
    assert set(result.by_class) == {"words", "digits", "syntax", "code"}
    assert sum(part.tokens for part in result.by_class.values()) == result.tokens


def test_text_shorter_than_a_chunk_is_refused_with_its_size() -> None:
    with pytest.raises(MeasurementError, match="prose 31"):
        cut_chunks({"prose": random_tokens(31)}, 32)
    with pytest.raises(MeasurementError, match="none"):
        cut_chunks({}, 32)


def test_bos_replaces_the_first_token_of_each_chunk() -> None:
    chunks = cut_chunks({"t": random_tokens(64)}, 32, bos=49)
    assert [c.tokens[0] for c in chunks] == [49, 49]
    assert (chunks[1].tokens[1:] == random_tokens(64)[33:]).all()


def test_other_vocabularies_are_refused() -> None:
    chunks = cut_chunks({"t": random_tokens(64)}, 32)
    with pytest.raises(MeasurementError, match="50 tokens and the quant 51"):
        next(scoring.score_chunks(FakeModel(50), FakeModel(51), chunks))


def test_a_logit_that_is_not_finite_is_named_with_its_chunk() -> None:
    broken = FakeModel(noise=0.1)
    broken.table[:, 3] = np.nan
    chunks = cut_chunks({"t": random_tokens(64)}, 32)
    with pytest.raises(MeasurementError, match=r"chunk 0 \(t\): the quant's logit of token"):
        next(scoring.score_chunks(FakeModel(), broken, chunks))


def interval(low: float, high: float) -> ConfidenceInterval:
    return ConfidenceInterval((low + high) / 2, low, high)


SAME = interval(0.99, 1.0)
EVEN = interval(0.999, 1.001)


@pytest.mark.parametrize(
    ("kl", "top1", "ratio", "word"),
    [
        (interval(0.0001, 0.0004), SAME, EVEN, "INDISTINGUISHABLE"),
        (interval(0.0003, 0.0007), SAME, EVEN, "INDISTINGUISHABLE"),  # the floor lies inside
        (interval(0.0, 0.005), SAME, EVEN, "INDISTINGUISHABLE"),
        (interval(0.0, 0.0051), SAME, EVEN, "UNDECIDED"),  # from the noise to anything
        (interval(0.0006, 0.0009), SAME, EVEN, "SMALL, MEASURABLE"),
        (interval(0.1, 0.2), interval(0.80, 0.89), EVEN, "NOTICEABLE"),
        (interval(0.1, 0.2), interval(0.80, 0.91), EVEN, "SMALL, MEASURABLE"),  # not shown
        (interval(0.1, 0.2), SAME, interval(1.06, 1.1), "NOTICEABLE"),
        (interval(3, 4), interval(0.2, 0.3), EVEN, "BROKEN"),
        (interval(3, 4), SAME, interval(2.1, 9), "BROKEN"),
        (ConfidenceInterval(0.1, np.nan, np.nan), SAME, EVEN, "UNDECIDED"),
        (ConfidenceInterval(0.0, np.nan, np.nan), SAME, EVEN, "INDISTINGUISHABLE"),
    ],
)
def test_a_verdict_needs_an_interval_that_shows_it(
    kl: ConfidenceInterval, top1: ConfidenceInterval, ratio: ConfidenceInterval, word: str
) -> None:
    assert verdict(kl, 0.0005, top1, ratio) == word
    assert THRESHOLDS.noticeable_top1 == 0.90  # the rows above are written for these
    assert THRESHOLDS.noticeable_perplexity == 1.05


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ("kl.mean<0.07", True),
        ("kl.mean<0.055", False),  # the mean is below, the upper end is not
        ("top1>0.85", True),
        ("top1>0.91", False),
        ("kl.p99 <= 0.5", True),
        ("by_domain.code.kl.mean<0.07", False),  # an interval that is not known
    ],
)
def test_a_gate_passes_only_if_the_interval_shows_it(gate: str, passed: bool) -> None:
    results = {
        "kl": {"mean": 0.05, "low": 0.04, "high": 0.06, "p99": 0.5},
        "top1": 0.92,
        "top1_low": 0.9,
        "top1_high": 0.94,
        "by_domain": {"code": {"kl": {"mean": 0.01, "low": None, "high": None}}},
    }
    assert parse_gate(gate).check(results).passed is passed


@pytest.mark.parametrize(
    "gate", ["kl.mean", "kl.mean<", "kl<0.1", "nothing<1", "kl.mean<1.2.3", "<1"]
)
def test_a_gate_that_means_nothing_is_refused(gate: str) -> None:
    with pytest.raises(MeasurementError):
        parse_gate(gate).check({"kl": {"mean": 0.05, "low": 0.04, "high": 0.06}})


def test_memory_does_not_grow_with_context_times_vocabulary() -> None:
    """Full logits of one side would be 100 MB at 512 and 400 MB at 2048 tokens."""

    class Wide:
        vocab_size = 100_000

        def hidden(self, tokens: np.ndarray) -> np.ndarray:
            return np.ones((*tokens.shape, 4), np.float32)

        def head(self, rows: np.ndarray, tokens: range) -> np.ndarray:
            return np.broadcast_to(rows[:, :1], (len(rows), len(tokens))).copy()

    peaks = []
    for context in (512, 2048):
        chunks = cut_chunks({"t": np.arange(context, dtype=np.int32)}, context)
        tracemalloc.start()
        found = list(scoring.score_chunks(Wide(), Wide(), chunks))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert found[0].comparison.kl.max() == 0
    assert peaks[1] < peaks[0] + 2**20
    assert peaks[1] < 2.1 * scoring.PART_BYTES + 2**21


def test_what_is_shown_to_lose_more_than_the_whole_is_named() -> None:
    """One domain of tokens whose rows are noisy, one of tokens whose rows are not."""
    quant = FakeModel()
    quant.table[25:] += np.random.default_rng(4).normal(0, 1, quant.table[25:].shape)
    texts = {
        "quiet": np.tile(np.arange(25, dtype=np.int32), 32 * 12 // 25),
        "noisy": np.tile(np.arange(25, 50, dtype=np.int32), 32 * 12 // 25),
    }
    chunks = cut_chunks(texts, 32)
    found = summarize(list(scoring.score_chunks(FakeModel(), quant, chunks)))
    assert found.worse == ("noisy",)
