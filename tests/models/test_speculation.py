"""Drafts: whatever is guessed, the text is the same; and guesses stop where they do not pay."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from support import hf_folders
from support.tiny_models import write_model
from zeropoint.errors import UnsupportedModel
from zeropoint.models import (
    Conversation,
    Finished,
    LanguageModel,
    Sampling,
    Token,
    Tokenizer,
    generate,
    load_model,
)
from zeropoint.models.draft_length import FIRST_PAUSE_TOKENS, MAX_LENGTH, DraftLength
from zeropoint.models.model_draft import check_draft_model
from zeropoint.models.ngram_draft import NgramDraft
from zeropoint.models.speculation import DraftedModel, TokenDraft, draft_maker

PROMPT = [1, 62, 70, 80, 65, 62, 70, 80]
HOT = Sampling(temperature=1.0, seed=3)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A model, and the same one in fewer bits."""
    folder = tmp_path_factory.mktemp("drafts")
    return [write_model(folder / f"{format}.gguf", format=format) for format in ("F16", "Q2_K")]


@pytest.fixture(scope="module", params=["qwen35", "lfm2", "gemma3"])
def any_model(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> LanguageModel:
    """Layers of attention beside recurrent ones, short convolutions, and windows."""
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return load_model(hf_folders.make_folder(request.param, folder), threads=1)


@pytest.fixture(scope="module")
def model(files: list[Path]) -> LanguageModel:
    return load_model(files[0], threads=1)


class Wild:
    """Guesses at random: tokens, and how many."""

    def __init__(self, tokens: Sequence[int], vocabulary: int, seed: int) -> None:
        self.tokens = list(tokens)
        self._vocabulary = vocabulary
        self._random = np.random.default_rng(seed)

    def __len__(self) -> int:
        return len(self.tokens)

    def extend(self, tokens: Sequence[int]) -> None:
        self.tokens += tokens

    def propose(self, limit: int) -> list[int]:
        count = min(int(self._random.integers(0, 6)), limit)
        return self._random.integers(0, self._vocabulary, count).tolist()

    def observe(self, start: int, states: np.ndarray) -> None:
        assert start + len(states) <= len(self.tokens)

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        assert accepted <= proposed and seconds > 0


class Knowing(Wild):
    """Guesses what it was told, and sometimes a wrong token."""

    def __init__(self, prompt: Sequence[int], text: list[int], seed: int) -> None:
        super().__init__(prompt, 250, seed)
        self._text = text
        self._start = len(prompt)

    def propose(self, limit: int) -> list[int]:
        at = len(self.tokens) - self._start
        guess = self._text[at : at + min(int(self._random.integers(0, 6)), limit)]
        if guess and self._random.random() < 0.5:
            guess[int(self._random.integers(len(guess)))] ^= 1
        return guess


def text_of(
    model: LanguageModel, sampling: Sampling, draft: TokenDraft | None = None, capacity: int = 99
) -> tuple[list[int], Finished, int]:
    """Return the tokens, the last record, and how many positions the cache holds."""
    cache = model.cache(capacity)
    records = list(
        generate(
            DraftedModel(model, draft), PROMPT, limit=40, sampling=sampling, cache=cache,
            stops=frozenset(),
        )
    )  # fmt: skip
    assert isinstance(records[-1], Finished)
    tokens = [record.id for record in records if isinstance(record, Token)]
    return tokens, records[-1], int(cache.lengths[0])


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.0), HOT])
@pytest.mark.parametrize("seed", range(2))
def test_any_guess_leaves_the_text_as_it_is(
    any_model: LanguageModel, sampling: Sampling, seed: int
) -> None:
    model = any_model
    plain, _, _ = text_of(model, sampling)
    for draft in (Wild(PROMPT, model.vocab_size, seed), Knowing(PROMPT, plain, seed)):
        drafted, end, held = text_of(model, sampling, draft)
        assert drafted == plain
        assert draft.tokens == PROMPT + plain
        assert len(PROMPT) + len(plain) - 1 <= held <= len(PROMPT) + len(plain)
        assert end.drafts is not None and end.drafts.accepted <= end.drafts.proposed
    assert end.drafts is not None and 0 < end.drafts.accepted < end.drafts.proposed
    assert end.drafts.passes < len(plain) - 1


@pytest.mark.parametrize("capacity", [len(PROMPT) + 1, len(PROMPT) + 7])
def test_the_context_ends_the_text_at_the_same_token(
    any_model: LanguageModel, capacity: int
) -> None:
    model = any_model
    plain, end, _ = text_of(model, HOT, capacity=capacity)
    drafted, drafted_end, held = text_of(model, HOT, Knowing(PROMPT, plain, 0), capacity)
    assert (drafted, drafted_end.reason) == (plain, end.reason) and end.reason == "context"
    assert held == capacity


def test_a_stopped_iteration_leaves_no_guess_in_the_cache(any_model: LanguageModel) -> None:
    model = any_model
    plain, _, _ = text_of(model, HOT)
    for stopped_after in range(1, 8):
        cache = model.cache(99)
        draft = DraftedModel(model, Knowing(PROMPT, plain, 5))
        texts = generate(draft, PROMPT, limit=40, sampling=HOT, cache=cache, stops=frozenset())
        seen = 0
        for record in texts:
            seen += isinstance(record, Token)
            if seen == stopped_after:
                break
        texts.close()  # type: ignore[attr-defined]
        held = int(cache.lengths[0])
        assert held <= len(PROMPT) + stopped_after
        rest = model.logits((PROMPT + plain)[held : held + 3], cache)
        fresh = model.logits((PROMPT + plain)[: held + 3])[-3:]
        assert np.array_equal(rest, fresh)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0.0), HOT])
def test_a_draft_model_changes_nothing_and_its_own_text_is_guessed_whole(
    model: LanguageModel, files: list[Path], sampling: Sampling
) -> None:
    plain, _, _ = text_of(model, sampling)
    counts = []
    for path in files:
        make = draft_maker(str(path), model)
        assert make is not None
        drafted, end, _ = text_of(model, sampling, make(PROMPT, sampling, 99))
        assert drafted == plain and end.drafts is not None
        counts.append(end.drafts)
    same, other = counts
    assert same.proposed and same.accepted == same.proposed
    assert other.proposed and other.accepted < other.proposed


def test_a_conversation_goes_on_as_without_guesses(
    model: LanguageModel, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_text(_source: object, tokenizer: Tokenizer, messages: list[dict[str, str]]) -> list[int]:
        return [1, *tokenizer.encode("".join(message["content"] for message in messages))]

    monkeypatch.setattr("zeropoint.models.conversation.encode_chat", as_text)
    answers = []
    for draft in ("off", "ngram", *map(str, files)):
        drafts = draft_maker(draft, model)
        conversation = Conversation(model.checkpoint, model, context=400, drafts=drafts)
        for message in ("the cat", "and the dog"):
            records = list(conversation.say(message, limit=20, sampling=HOT))
            answers.append([record.id for record in records if isinstance(record, Token)])
    assert answers[:2] * 4 == answers


def test_a_model_with_other_tokens_is_refused(model: LanguageModel, tmp_path: Path) -> None:
    other = load_model(write_model(tmp_path / "other.gguf"), threads=1)
    tokens = other.tokenizer.vocabulary.tokens
    tokens[300], tokens[301] = tokens[301], tokens[300]
    with pytest.raises(UnsupportedModel, match="has other tokens than"):
        check_draft_model(model, other)


def simulate(length: DraftLength, acceptance: float, guess: float, further: float) -> list[int]:
    """Choose 400 lengths with a pass of 1 + further · n seconds, and `guess` per guessed token."""
    random = np.random.default_rng(0)
    chosen = []
    for _ in range(400):
        count = length.choose()
        right = (random.random(count) < acceptance).cumprod().sum()
        if count:
            length.guessed(count, guess * count)
        length.report(count, int(right), 1 + further * count)
        chosen.append(count)
    return chosen


def speed(lengths: Sequence[int], acceptance: float, guess: float, further: float) -> float:
    """Return tokens per second over those without guesses."""
    a = acceptance
    tokens = sum((1 - a ** (n + 1)) / (1 - a) for n in lengths)
    return tokens / sum(1 + (guess + further) * n for n in lengths)


def test_cheap_and_good_guesses_become_long() -> None:
    chosen = simulate(DraftLength(), acceptance=0.95, guess=0.02, further=0.02)
    assert chosen[0] == 0, "the first pass tells what a token takes"
    assert chosen[-100:].count(MAX_LENGTH) > 90


def test_the_length_is_near_the_best_one() -> None:
    """Within 3 % of the best constant length for these times, after a start of 50 passes."""
    for case in ((0.7, 0.2, 0.05), (0.8, 0.3, 0.1), (0.6, 0.1, 0.02)):
        best = max(speed([n], *case) for n in range(MAX_LENGTH + 1))
        assert speed(simulate(DraftLength(), *case)[50:], *case) >= 0.97 * best, case


def test_guesses_that_do_not_pay_cost_less_than_3_percent() -> None:
    for case in ((0.1, 0.3, 0.05), (0.3, 0.6, 0.1), (0.0, 0.1, 0.05)):
        chosen = simulate(DraftLength(), *case)
        assert chosen.count(0) > 350
        assert speed(chosen, *case) >= 0.97, case
        assert any(chosen[FIRST_PAUSE_TOKENS:]), "they are tried again"


def test_the_predicted_speedup_is_that_of_the_times() -> None:
    """A noisy acceptance is known to ± 0.07 after 20 judged tokens, so 15 % are allowed."""
    length = DraftLength()
    case = (0.8, 0.2, 0.05)
    simulate(length, *case)
    best = max(speed([n], *case) for n in range(MAX_LENGTH + 1))
    assert abs(length.predicted_speedup() / best - 1) < 0.15


def test_wrong_guesses_become_shorter_and_rarer() -> None:
    draft = NgramDraft([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 1, 2, 3])
    assert draft.propose(100) == [4, 5, 6, 7] and draft.propose(2) == [4, 5]
    draft.report(4, 4)
    assert len(draft.propose(100)) == 8
    draft.report(8, 0)
    assert draft.propose(100) == []
    draft.extend([7, 1, 2, 3])
    assert draft.propose(100) == [7, 1, 2, 3], "the last occurrence counts"
    draft.report(4, 0)
    draft.extend([7, 1, 2, 3])
    assert draft.propose(100) == [], "the pause has doubled"
    assert NgramDraft([1, 2]).propose(8) == [] and NgramDraft([1, 2, 3]).propose(8) == []
