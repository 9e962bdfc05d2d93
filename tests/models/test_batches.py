"""Many texts at once are the texts that would be written alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.models import (
    GREEDY,
    Cache,
    CompletedText,
    LanguageModel,
    Sampling,
    Token,
    batches,
    choose,
    fitting_batch_size,
    generate,
    generate_batch,
    load_model,
    read_batch,
)
from zeropoint.models.sampling import candidates, gumbel

SAMPLED = Sampling(top_k=0, top_p=1.0, min_p=0.0, temperature=1.0)
NONE: frozenset[int] = frozenset()


@pytest.fixture(scope="module", params=["llama", "gemma3"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LanguageModel:
    path = write_model(tmp_path_factory.mktemp("m") / "tiny.gguf", request.param, columns=128)
    return load_model(open_checkpoint(path), threads=1)


def written(
    model: LanguageModel, prompts: list[list[int]], **options: object
) -> list[CompletedText]:
    wanted: dict[str, object] = {"limit": 12, "stops": NONE} | options
    records = generate_batch(
        model, prompts, lambda i, step, logits: choose(logits, SAMPLED, step), **wanted
    )
    return sorted((r for r in records if isinstance(r, CompletedText)), key=lambda r: r.index)


def prompts(count: int) -> list[list[int]]:
    random = np.random.default_rng(3)
    begin = [4, 9, 2, 6]  # what they have in common is read once
    return [begin + random.integers(3, 250, 1 + 17 * i % 40).tolist() for i in range(count)]


def test_a_text_does_not_depend_on_those_beside_it(model: LanguageModel) -> None:
    """Bit by bit: prompts of different lengths, and some that end early and leave their place."""
    stops = frozenset(range(0, 250, 25))
    together = written(model, prompts(7), stops=stops)
    assert {text.reason for text in together} == {"stop", "length"}
    for text, prompt in zip(together, prompts(7), strict=True):
        (alone,) = written(model, [prompt], stops=stops)
        assert text.ids == alone.ids and text.reason == alone.reason
        np.testing.assert_array_equal(text.states, alone.states)


def test_what_several_texts_begin_with_is_read_once(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two beginnings, each of its own texts, and texts that share none: all have their own bits."""
    random = np.random.default_rng(8)
    first, second = (random.integers(3, 250, length).tolist() for length in (40, 70))
    ends = [random.integers(3, 250, length).tolist() for length in (5, 9, 3, 12, 7)]
    texts = [first + ends[0], second + ends[1], [9, 8], first + ends[2], second + ends[3], ends[4]]
    last = [2, 4, 1, 3, 12, 7]
    alone = [model.hidden(text)[-n:] for text, n in zip(texts, last, strict=True)]
    read: list[int] = []
    hidden = type(model).hidden
    monkeypatch.setattr(
        type(model),
        "hidden",
        lambda self, ids, cache: read.append(np.size(ids)) or hidden(self, ids, cache),
    )
    states, cache = read_batch(model, texts, last, room=4)
    assert sorted(read) == [40, 70, 6 * 12]  # the longest of the rests has 12 tokens
    for ours, theirs in zip(states, alone, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert cache.lengths.tolist() == [len(text) for text in texts]
    more = hidden(model, np.full((6, 4), 11), cache)
    for text, ours in zip(texts, more, strict=True):
        np.testing.assert_array_equal(ours, hidden(model, [*text, 11, 11, 11, 11])[-4:])


def allocated(cache: Cache) -> int:
    return sum(array.nbytes for state in cache.states for array in state.arrays)


def test_so_many_texts_are_written_at_once_as_have_room(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = model.cache(1000, sequences=3)
    assert allocated(cache) <= cache.max_bytes
    cache.grow([1], 1000)
    assert allocated(cache) == cache.max_bytes
    assert fitting_batch_size(model, 1000, 7) == 7
    monkeypatch.setattr(batches, "CACHE_BUDGET_BYTES", 5 * cache.max_bytes // 3 + 1)
    assert fitting_batch_size(model, 1000, 7) == 5
    monkeypatch.setattr(batches, "CACHE_BUDGET_BYTES", 1)
    assert fitting_batch_size(model, 1000, 7) == 1


def test_one_text_is_what_generate_writes(model: LanguageModel) -> None:
    prompt = prompts(2)[1]
    (text,) = written(model, [prompt])
    told = generate(model, prompt, limit=12, sampling=SAMPLED, stops=NONE)
    assert text.ids == [record.id for record in told if isinstance(record, Token)]


def test_the_states_are_those_of_reading_the_text_at_once(model: LanguageModel) -> None:
    prompt = prompts(4)[3]
    text = written(model, prompts(4))[3]
    states = model.hidden([*prompt, *text.ids[:-1]])
    np.testing.assert_array_equal(text.states, states[len(prompt) - 1 :])


def test_a_text_ends_where_its_caller_says(model: LanguageModel) -> None:
    forced = [5, 6, 7]

    def say(_index: int, step: int, _logits: np.ndarray) -> int | None:
        return forced[step] if step < 3 else None

    records = generate_batch(model, [[1, 2], [3]], say, limit=9, stops=NONE)
    ended = [r for r in records if isinstance(r, CompletedText)]
    assert [(r.ids, r.reason) for r in ended] == [(forced, "stop")] * 2


def test_the_context_ends_a_text(model: LanguageModel) -> None:
    prompt = [7] * (model.context_length - 3)
    (text,) = written(model, [prompt])
    assert (len(text.ids), text.reason) == (4, "context")
    with pytest.raises(UnsupportedModel, match="room for"):
        written(model, [[7] * (model.context_length + 1)])
    with pytest.raises(UnsupportedModel, match="empty"):
        written(model, [[7], []])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 500), st.sampled_from([0.3, 1.0, 1.7]))
def test_choosing_of_all_is_the_largest_key_of_all(seed: int, step: int, heat: float) -> None:
    logits = np.random.default_rng(seed).normal(0, 6, 3000).astype(np.float32)
    sampling = Sampling(top_k=0, top_p=1.0, min_p=0.0, temperature=heat, seed=seed)
    ids = candidates(logits, sampling)  # sorted, as where only some may be chosen
    keys = logits[ids].astype(np.float64) / heat + gumbel(seed, step, ids)
    assert choose(logits, sampling, step) == ids[keys.argmax()]
    assert choose(logits, GREEDY, step) == logits.argmax()
