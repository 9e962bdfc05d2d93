"""Models with recurrent layers: cutting back needs a position that was kept."""

from pathlib import Path

import numpy as np
import pytest

from support import hf_folders
from support.families import FAMILIES, VOCABULARY, random_model, write_gguf
from zeropoint.checkpoints import open_checkpoint, open_model
from zeropoint.models import (
    Cache,
    Conversation,
    LanguageModel,
    PromptRead,
    Sampling,
    Token,
    generate,
    load_model,
    read_batch,
)
from zeropoint.plans import choose_formats
from zeropoint.quantizers import quantize_tensors


@pytest.fixture(scope="module", params=["qwen35", "lfm2", "nemotron_h"])
def model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LanguageModel:
    family = FAMILIES[request.param]
    path = tmp_path_factory.mktemp("recurrent") / "tiny.gguf"
    write_gguf(path, family, random_model(family), "Q8_0")
    return load_model(open_checkpoint(path), threads=1)


def some_tokens(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, VOCABULARY, count)


def test_without_a_kept_position_only_the_start_and_the_end_can_be_returned_to(
    model: LanguageModel,
) -> None:
    cache = model.cache(60)
    model.hidden(some_tokens(30), cache)
    assert [at for at in range(31) if cache.can_truncate(at)] == [0, 30]
    assert cache.last_cut(29) == 0 and cache.last_cut(30) == 30
    with pytest.raises(ValueError, match="positions 0 only"):
        cache.truncate(29)
    cache.truncate(30)
    cache.truncate(0)
    np.testing.assert_array_equal(
        model.hidden(some_tokens(20), cache), model.hidden(some_tokens(20))
    )


def test_going_on_after_a_cut_is_never_having_gone_there(model: LanguageModel) -> None:
    tokens, cache = some_tokens(60), model.cache(100)
    cache.keep(20)  # reached in the middle of a pass
    model.hidden(tokens[:31], cache)
    cache.keep(31)  # reached already
    model.hidden(some_tokens(12), cache)
    assert [at for at in range(44) if cache.can_truncate(at)] == [0, 20, 31, 43]
    for at in (31, 20):
        cache.truncate(at)
        np.testing.assert_array_equal(model.hidden(tokens[at:], cache), model.hidden(tokens)[at:])
        assert cache.last_cut(at + 5) == at


def test_a_copied_sequence_can_be_cut_back_like_its_source(model: LanguageModel) -> None:
    cache = model.cache(60, sequences=2)
    cache.keep(10)
    model.hidden(some_tokens(25)[None], cache)
    cache.copy(0, 1)
    assert cache.can_truncate(10, 1)
    cache.clear()
    assert not cache.can_truncate(10, 1) or cache.lengths[1] == 0
    np.testing.assert_array_equal(
        model.hidden(some_tokens(7)[None], cache), model.hidden(some_tokens(7)[None])
    )


def test_a_sequence_keeps_the_last_few_positions(model: LanguageModel) -> None:
    cache = model.cache(60)
    for at in range(2, 14, 2):
        cache.keep(at)
    model.hidden(some_tokens(20), cache)
    assert [at for at in range(1, 20) if cache.can_truncate(at)] == [6, 8, 10, 12]


def test_texts_of_different_lengths_are_processed_together(model: LanguageModel) -> None:
    texts = [some_tokens(length).tolist() for length in (5, 40, 23, 23)]
    states, cache = read_batch(model, texts, [1] * 4, room=8)
    for text, state in zip(texts, states, strict=True):
        np.testing.assert_array_equal(state, model.hidden(text)[-1:])
    assert cache.lengths.tolist() == [5, 40, 23, 23]
    more = model.hidden(np.full((4, 3), 11), cache)
    for text, after in zip(texts, more, strict=True):
        np.testing.assert_array_equal(after, model.hidden([*text, 11, 11, 11])[-3:])


def test_the_bytes_of_a_state_do_not_grow(model: LanguageModel) -> None:
    layer = model.architecture.layers[0]
    small, large = (Cache(model.architecture, capacity) for capacity in (64, 256))
    state, other = small.states[0], large.states[0]
    assert layer.attention is None and state.max_bytes == other.max_bytes
    assert state.max_bytes == sum(array.nbytes for array in state.arrays)
    assert large.max_bytes > small.max_bytes  # of the layers of attention


def test_a_conversation_goes_on_from_the_end_of_the_last_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The template writes the start of an answer, and leaves it out of earlier answers."""
    folder = hf_folders.make_folder("qwen35", tmp_path / "model")
    with open_model(folder) as source:
        list(quantize_tensors(source, choose_formats(source, "F32"), tmp_path / "model.gguf"))
    model = load_model(open_checkpoint(tmp_path / "model.gguf"), threads=1)

    def encode(_: object, tokenizer: object, messages: list[dict[str, str]]) -> list[int]:
        text = "".join(f"<{message['role']}>{message['content']}" for message in messages)
        last = messages[-1]["role"] == "user"
        return model.tokenizer.encode(text + ("<assistant>(thinks)" if last else ""))

    monkeypatch.setattr("zeropoint.models.conversation.encode_chat", encode)
    talk = Conversation(model.checkpoint, model, context=200)
    sampling = Sampling(temperature=0.0)
    list(talk.say("the cat and the rat", limit=6, sampling=sampling))
    second = list(talk.say("the dog", limit=6, sampling=sampling))
    prompt = encode(None, None, talk.messages[:3])
    again = list(generate(model, prompt, limit=6, sampling=sampling))
    assert tokens_of(second) == tokens_of(again)
    read = next(record for record in second if isinstance(record, PromptRead))
    reused = len(prompt) - read.total
    assert reused >= len(model.tokenizer.encode("<user>the cat and the rat"))


def tokens_of(records: list[object]) -> list[int]:
    return [record.id for record in records if isinstance(record, Token)]
