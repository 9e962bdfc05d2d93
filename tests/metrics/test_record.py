"""A measurement that was killed goes on where it was, with the same bits."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from support.table_models import FakeModel, random_tokens
from zeropoint.calibration.chunks import cut_chunks
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.metrics.divergence.recorded_chunks import score_recorded_chunks
from zeropoint.metrics.divergence.reference_pass import MeasureText, ReferencePass
from zeropoint.metrics.divergence.run import MeasureRun
from zeropoint.results.run_store import RunFolder

CHUNKS = cut_chunks({"t": random_tokens(32 * 20)}, 32)
MODELS = (FakeModel(), FakeModel(noise=0.3))


def start(path: Path) -> RunFolder:
    return RunFolder.start(path, "measure", {}, {})


def test_a_resumed_run_gives_the_bits_of_a_straight_one(tmp_path: Path) -> None:
    straight = list(score_recorded_chunks(MODELS, CHUNKS, None))
    first = score_recorded_chunks(MODELS, CHUNKS, start(tmp_path / "run"))
    for _ in range(7):
        next(first)
    first.close()
    resumed = list(score_recorded_chunks(MODELS, CHUNKS, start(tmp_path / "run")))
    assert [r.index for r in resumed] == list(range(20))
    for a, b in zip(straight, resumed, strict=True):
        np.testing.assert_array_equal(a.comparison.kl, b.comparison.kl)
        np.testing.assert_array_equal(a.comparison.top_logp, b.comparison.top_logp)


def test_what_the_run_holds_is_not_measured_again(tmp_path: Path) -> None:
    list(score_recorded_chunks(MODELS, CHUNKS, start(tmp_path / "run")))
    broken = FakeModel()
    broken.table[:] = np.nan
    again = list(score_recorded_chunks((broken, broken), CHUNKS, start(tmp_path / "run")))
    assert len(again) == 20


def test_a_broken_logit_is_named_by_its_chunk_in_the_whole_text(tmp_path: Path) -> None:
    list(score_recorded_chunks(MODELS, CHUNKS[:3], start(tmp_path / "run")))
    broken = FakeModel()
    broken.table[int(CHUNKS[5].tokens[20])] = np.nan  # first seen in chunk 3, 4 or 5
    seen = next(i for i in range(3, 20) if CHUNKS[5].tokens[20] in CHUNKS[i].tokens[16:31])
    with pytest.raises(
        MeasurementError, match=rf"chunk {seen} \(t\): the quant's logit of token 0"
    ):
        list(score_recorded_chunks((MODELS[0], broken), CHUNKS, start(tmp_path / "run"), batch=2))


def test_until_stops_when_the_interval_is_narrow_enough() -> None:
    text = MeasureText(CHUNKS, 32, corpus="", built_in=False)
    MODELS[0].tokenizer = SimpleNamespace(piece=lambda token, special: b"word")
    for until, chunks in ((1e9, 8), (1e-9, 20)):
        reference = ReferencePass(MODELS[0], text, floor_chunks=0)
        assert len(list(MeasureRun(reference, MODELS[1]).measure(until=until))) == chunks


def test_another_text_is_refused(tmp_path: Path) -> None:
    list(score_recorded_chunks(MODELS, CHUNKS[:3], start(tmp_path / "run")))
    with pytest.raises(CheckpointError, match="another text"):
        list(score_recorded_chunks(MODELS, CHUNKS[1:], start(tmp_path / "run")))
