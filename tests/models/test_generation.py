"""Generating: greedy is argmax, chunks and caches are not seen, and it ends where it should."""

import numpy as np
import pytest

from support.tiny_models import END, write_model
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.models import (
    Conversation,
    Finished,
    LanguageModel,
    PromptRead,
    Sampling,
    Token,
    generate,
    load_model,
    room_for,
)

PROMPT = [1, 262, 270, 280, 265]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return open_checkpoint(write_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf"))


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> LanguageModel:
    return load_model(checkpoint, threads=1)


def ids(records: list[object]) -> list[int]:
    return [record.id for record in records if isinstance(record, Token)]


def test_greedy_is_the_argmax_of_a_full_pass(model: LanguageModel) -> None:
    records = list(generate(model, PROMPT, limit=12, stops=frozenset()))
    chosen = ids(records)
    logits = model.logits(PROMPT + chosen[:-1])
    assert chosen == logits[len(PROMPT) - 1 :].argmax(axis=1).tolist()
    done = records[-1]
    assert isinstance(done, Finished)
    assert (done.reason, done.prompt_tokens, done.tokens) == ("length", len(PROMPT), 12)
    text = "".join(record.text for record in records if isinstance(record, Token)) + done.text
    assert text == b"".join(map(model.tokenizer.piece, chosen)).decode("utf-8", "replace")


def test_a_seed_gives_the_same_text_and_another_one_another(model: LanguageModel) -> None:
    def sampled(seed: int) -> list[int]:
        sampling = Sampling(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed)
        return ids(list(generate(model, PROMPT, limit=8, sampling=sampling, stops=frozenset())))

    assert sampled(1) == sampled(1) != sampled(2)


def test_a_stop_token_ends_it_and_is_not_shown(model: LanguageModel) -> None:
    free = ids(list(generate(model, PROMPT, limit=6, stops=frozenset())))
    records = list(generate(model, PROMPT, limit=6, stops=frozenset({free[3]})))
    first = free.index(free[3])
    assert ids(records) == free[:first]
    assert isinstance(records[-1], Finished) and records[-1].reason == "stop"
    assert END in model.tokenizer.stops


def test_it_ends_when_the_context_is_full(model: LanguageModel) -> None:
    cache = model.cache(len(PROMPT) + 3)
    records = list(generate(model, PROMPT, limit=99, cache=cache, stops=frozenset()))
    assert isinstance(records[-1], Finished) and records[-1].reason == "context"
    assert len(ids(records)) == 4  # three go through the model, the last one needs no room


@pytest.mark.parametrize(
    ("prompt", "says"),
    [([], "the prompt is empty"), ([1] * 600, "600 tokens, but the context has room")],
)
def test_a_prompt_that_does_not_fit_is_one_sentence(
    model: LanguageModel, prompt: list[int], says: str
) -> None:
    with pytest.raises(UnsupportedModel, match=says):
        list(generate(model, prompt, limit=4))


def test_a_context_beyond_the_models_is_refused(model: LanguageModel) -> None:
    with pytest.raises(
        UnsupportedModel, match="a context of 513 tokens is more than the model's 512"
    ):
        room_for(model, 3, 4, context=513)
    assert room_for(model, 3, 4, context=100).capacity == 7


def test_a_long_prompt_is_read_in_parts(
    model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = list(generate(model, PROMPT * 4, limit=3, stops=frozenset()))
    monkeypatch.setattr("zeropoint.models.generation.CHUNK_TOKENS", 7)
    parts = list(generate(model, PROMPT * 4, limit=3, stops=frozenset()))
    assert ids(parts) == ids(whole)
    read = [record for record in parts if isinstance(record, PromptRead)]
    assert [record.done for record in read] == [7, 14, 20]


def test_a_conversation_reads_only_what_is_new(
    checkpoint: Checkpoint, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_text(
        _checkpoint: object, tokenizer: object, messages: list[dict[str, str]]
    ) -> list[int]:
        joined = "".join(message["content"] for message in messages)
        return [1, *model.tokenizer.encode(joined)]

    monkeypatch.setattr("zeropoint.models.conversation.encode_chat", as_text)
    talk = Conversation(checkpoint, model, context=200)
    sampling = Sampling(temperature=0.0)
    first = list(talk.say("the cat ", limit=5, sampling=sampling))
    second = list(talk.say("the dog ", limit=5, sampling=sampling))
    assert [message["role"] for message in talk.messages] == ["user", "assistant"] * 2
    again = list(generate(model, as_text(None, None, talk.messages[:3]), limit=5))
    assert ids(second) == ids(again)
    read = next(record for record in second if isinstance(record, PromptRead))
    everything = len(as_text(None, None, talk.messages[:3]))
    assert read.total < everything or ids(first) == []


def test_a_message_that_does_not_fit_is_taken_back(
    checkpoint: Checkpoint, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "zeropoint.models.conversation.encode_chat",
        lambda *_: list(np.ones(99, int)),
    )
    talk = Conversation(checkpoint, model, context=50)
    with pytest.raises(UnsupportedModel, match="99 tokens"):
        list(talk.say("x", limit=5, sampling=Sampling()))
    assert talk.messages == []
