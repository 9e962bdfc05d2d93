"""The engine: the same text alone, beside others, and after a cached prefix or a cancellation."""

from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.families import FAMILIES, random_model, write_gguf
from support.scheduled_texts import CAPACITY, alone, engine, run, some_prompt, work
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import UnsupportedModel
from zeropoint.models import LanguageModel, Sampling, Token, generate, load_model
from zeropoint.server.engine.generation_defaults import sampling_defaults
from zeropoint.server.engine.prefix_caches import MAX_LOST_TOKENS, PrefixCaches
from zeropoint.server.engine.scheduler import CHUNK_BESIDE_DECODING_TOKENS
from zeropoint.server.engine.token_choice import ChoiceRules, log_probabilities


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    path = write_model(tmp_path_factory.mktemp("server") / "tiny.gguf")
    return load_model(open_checkpoint(path), threads=1)


def test_in_exact_mode_a_seed_gives_the_same_text_whatever_runs_beside_it(
    model: LanguageModel,
) -> None:
    """Seven texts in three slots, of prompts that differ in length, some with a common prefix."""
    shared = some_prompt(150, seed=9)
    prompts = [
        some_prompt(5, 1), shared + some_prompt(7, 2), some_prompt(120, 3), [17],
        shared + some_prompt(40, 4), shared, some_prompt(33, 5),
    ]  # fmt: skip
    scheduler = engine(model)
    for at, prompt in enumerate(prompts):
        scheduler.add(work(at, prompt, limit=5 + 3 * at, seed=at))
    ends = run(scheduler)
    for at, prompt in enumerate(prompts):
        assert ends[at]["ids"] == alone(model, prompt, 5 + 3 * at, at), at
    assert max(end["cached_tokens"] for end in ends.values()) >= 140
    assert not any(scheduler.slots)


@pytest.mark.parametrize("name", ["gemma3", "qwen35", "lfm2", "mixtral"])
def test_the_same_holds_for_windows_recurrent_states_and_experts(
    name: str, model: LanguageModel, tmp_path: Path
) -> None:
    write_gguf(tmp_path / "m.gguf", FAMILIES[name], random_model(FAMILIES[name]), "Q8_0")
    tokenizer = model.tokenizer  # the tiny families have none
    model = load_model(open_checkpoint(tmp_path / "m.gguf"), threads=1)
    vars(model)["tokenizer"] = tokenizer
    model_capacity = min(model.context_length, 96)
    first = np.random.default_rng(3).integers(3, 40, 30).tolist()
    scheduler = engine(model, slots=2, capacity=model_capacity)
    prompts = [first, first[:12], [*first, 5, 6, 7], first]
    for at, prompt in enumerate(prompts):
        if at == 3:
            ends = run(scheduler)
        scheduler.add(work(at, prompt, limit=6, seed=1))
    ends |= run(scheduler)
    for at, prompt in enumerate(prompts):
        cache = model.cache(model_capacity)
        records = generate(
            model, prompt, limit=6, sampling=Sampling(seed=1, temperature=1.0), cache=cache,
            stops=frozenset(),
        )  # fmt: skip
        wanted = [record.id for record in records if isinstance(record, Token)]
        assert ends[at]["ids"] == wanted, at
    assert ends[3]["cached_tokens"] == len(first) - 1


class FailingMask:
    """Allows one token, then nothing, or fails."""

    complete = False

    def __init__(self, size: int, *, fails: bool) -> None:
        self._size, self._fails, self._accepted = size, fails, 0

    def allowed(self) -> np.ndarray:
        if self._accepted and self._fails:
            raise UnsupportedModel("too complex")
        mask = np.zeros(self._size, bool)
        mask[262] = not self._accepted
        return mask

    def accept(self, token: int) -> None:
        self._accepted += 1


def test_a_grammar_that_ends_or_fails_does_so_for_its_text_only(model: LanguageModel) -> None:
    scheduler = engine(model)
    for id, fails in ((1, False), (2, True)):
        scheduler.add(work(id, [5, 6, 7], mask=FailingMask(model.vocab_size, fails=fails)))
    scheduler.add(work(3, [5, 6, 7]))
    events = []
    while scheduler.busy:
        events += scheduler.step()
    ends = {event["id"]: event for event in events if event["type"] in ("end", "error")}
    assert (ends[1]["reason"], ends[1]["ids"]) == ("stop", [262])
    assert ends[2]["status"] == 500 and "too complex" in ends[2]["message"]
    assert ends[3]["ids"] == alone(model, [5, 6, 7], 12, 0)


def test_several_answers_to_one_prompt_process_it_once(model: LanguageModel) -> None:
    scheduler = engine(model, slots=4)
    prompt = some_prompt(200, 3)
    for id in range(4):
        scheduler.add(work(id, prompt, limit=10 + id, seed=id))
    ends = run(scheduler)
    for id in range(4):
        assert ends[id]["ids"] == alone(model, prompt, 10 + id, id)
    assert scheduler.counts.prompt_tokens_total == 200 + 3
    assert sorted(end["cached_tokens"] for end in ends.values()) == [0, 199, 199, 199]


def test_a_prompt_that_begins_like_a_running_text_copies_its_cache(model: LanguageModel) -> None:
    scheduler = engine(model, slots=2)
    shared = some_prompt(60, 3)
    first, second = shared + some_prompt(5, 4), shared + some_prompt(9, 5)
    scheduler.add(work(1, first, limit=30, seed=1))
    for _ in range(4):
        scheduler.step()
    scheduler.add(work(2, second, limit=5, seed=2))
    ends = run(scheduler)
    assert ends[2]["cached_tokens"] == 60
    assert ends[1]["ids"] == alone(model, first, 30, 1)
    assert ends[2]["ids"] == alone(model, second, 5, 2)


def test_prompts_are_read_in_small_chunks_while_others_decode(model: LanguageModel) -> None:
    scheduler = engine(model, clock=lambda: 0.0)
    scheduler.add(work(1, [5, 6], limit=40))
    scheduler.step()
    scheduler.add(work(2, some_prompt(200, 1), limit=1))
    done, tokens = [], 0
    while scheduler.busy and len(done) < 4:
        before = scheduler.counts.tokens_predicted_total
        done += [event["done"] for event in scheduler.step() if event["type"] == "progress"]
        tokens += scheduler.counts.tokens_predicted_total > before
    assert done == [CHUNK_BESIDE_DECODING_TOKENS * at for at in (1, 2, 3, 4)]
    assert tokens >= 4, "the other text has grown in every step"


def test_a_chunk_takes_no_longer_than_others_may_wait(model: LanguageModel) -> None:
    """Each look at the clock is 0.1 s after the one before: the first two tokens take that long."""
    ticks = count()
    scheduler = engine(model, clock=lambda: next(ticks) / 10)
    scheduler.add(work(1, [5, 6], limit=40))
    scheduler.step()
    scheduler.add(work(2, some_prompt(200, 1), limit=1))
    done: list[int] = []
    while len(done) < 3:
        done += [event["done"] for event in scheduler.step() if event["type"] == "progress"]
    tokens = [2, 10, 30]  # 0.5 s at 20, 60, 140 tokens per second are 10, 30, 70 tokens
    assert done == [tokens[1], sum(tokens[1:]), sum(tokens[1:]) + CHUNK_BESIDE_DECODING_TOKENS]


def test_waiting_prompts_take_turns(model: LanguageModel) -> None:
    scheduler = engine(model, clock=lambda: 0.0)
    scheduler.add(work(1, [5, 6], limit=60))
    scheduler.step()
    scheduler.add(work(2, some_prompt(300, 1), limit=1))
    scheduler.add(work(3, some_prompt(300, 2), limit=1))
    ids = [
        event["id"]
        for _ in range(6)
        for event in scheduler.step()
        if event["type"] == "progress"
    ]  # fmt: skip
    assert sorted(ids[:2]) == [2, 3] and ids[:2] == ids[2:4] == ids[4:]


def test_cancelling_frees_the_slot_and_leaves_a_cache_that_is_right(model: LanguageModel) -> None:
    scheduler = engine(model, slots=1)
    prompt = some_prompt(100, 7)
    for id in (1, 2, 3):
        scheduler.add(work(id, prompt, seed=id))
    for _ in range(4):
        scheduler.step()
    scheduler.cancel(1)
    scheduler.cancel(3)
    assert scheduler.slots == [None] and len(scheduler.waiting) == 1
    ends = run(scheduler)
    assert list(ends) == [2]
    assert ends[2]["ids"] == alone(model, prompt, 12, 2)
    assert ends[2]["cached_tokens"] == 99
    assert scheduler.counts.requests_cancelled_total == 2


def test_texts_end_at_limits_stop_tokens_stop_strings_and_the_context(model: LanguageModel) -> None:
    ids = alone(model, [5, 6, 7], 12, 0)
    tokenizer = model.tokenizer
    text = tokenizer.stream()
    shown = "".join(text.push(one) for one in ids)
    scheduler = engine(model)
    scheduler.add(work(1, [5, 6, 7]))
    scheduler.add(work(2, [5, 6, 7], stop_ids=frozenset({ids[4]})))
    scheduler.add(work(3, [5, 6, 7], stops=[shown[3:5]]))
    scheduler.add(work(4, some_prompt(CAPACITY - 4, 1), limit=50))
    scheduler.add(work(5, [5, 6, 7], limit=0))
    ends = run(scheduler)
    assert (ends[1]["reason"], ends[1]["tokens"]) == ("limit", 12)
    first = ids.index(ids[4])
    assert (ends[2]["reason"], ends[2]["ids"]) == ("stop", ids[:first])
    assert (ends[3]["reason"], ends[3]["stop"]) == ("word", shown[3:5])
    assert ends[3]["text"] == shown[: shown.find(shown[3:5])]
    assert (ends[4]["reason"], ends[4]["tokens"]) == ("context", 5)
    assert (ends[5]["reason"], ends[5]["tokens"]) == ("limit", 0)


def test_reports_of_tokens_are_those_of_the_text(model: LanguageModel) -> None:
    scheduler = engine(model)
    scheduler.add(work(1, [5, 6, 7], top=2))
    reports: list[dict[str, Any]] = []
    text = ""
    while scheduler.busy:
        for event in scheduler.step():
            if event["type"] == "text":
                reports += event["tokens"]
                text += event["text"]
    joined = b"".join(bytes(report["bytes"]) for report in reports)
    assert joined.decode("utf-8", "replace") == text
    logits = model.logits([5, 6, 7])[-1].astype(np.float64)
    wanted = logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())
    assert reports[0]["logprob"] == pytest.approx(wanted[reports[0]["id"]], abs=1e-12)
    assert [one["id"] for one in reports[0]["top"]] == np.argsort(-wanted)[:2].tolist()


def test_biases_penalties_and_masks_change_the_logits_in_order() -> None:
    logits = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
    rules = ChoiceRules(logit_bias={0: 5.0, 9: 1.0}, presence_penalty=0.5, frequency_penalty=0.25)
    mask = np.array([True, True, True, False])
    changed = rules.change(logits, Counter({1: 2, 3: 1}), mask)
    assert changed.tolist() == [6.0, 1.0, 3.0, -np.inf]
    assert logits.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert ChoiceRules().change(logits, Counter({1: 2}), None) is logits


def test_log_probabilities_are_numbers_even_for_impossible_tokens(model: LanguageModel) -> None:
    logits = np.full(8, -np.inf, np.float32)
    logits[3] = 0.0
    entry = log_probabilities(logits, 5, 0, model.tokenizer)
    assert entry["logprob"] == -9999.0 and entry["top"] == []


def test_the_cache_with_the_longest_common_prefix_is_taken(model: LanguageModel) -> None:
    caches = PrefixCaches(lambda: model.cache(CAPACITY), 1 << 30)

    def put(tokens: list[int]) -> None:
        cache = model.cache(CAPACITY)
        model.hidden(tokens, cache)
        caches.give_back(cache, tokens)

    base = some_prompt(20, 1)
    put(base + some_prompt(5, 2))
    put(base + some_prompt(8, 3))
    cache, cached = caches.take(base + some_prompt(8, 3)[:4] + [9])
    assert (cached, int(cache.lengths[0]), len(caches)) == (24, 24, 1)
    assert caches.take([*base[:4], 8, 8, 8, 8, 8, 8])[1] == 0, "too short to be worth it"
    assert caches.take(base, reuse=False)[1] == 0
    long = some_prompt(30 + MAX_LOST_TOKENS, 4)
    put(long)
    before = len(caches)
    cache, cached = caches.take([*long[:20], 7])
    assert (cached, len(caches)) == (20, before), "the long cache stays, a copy is used"
    assert caches.take([*long, 7])[1] == len(long)


def test_idle_caches_keep_to_their_budget(model: LanguageModel) -> None:
    size = sum(array.nbytes for state in model.cache(CAPACITY).states for array in state.arrays)
    caches = PrefixCaches(lambda: model.cache(CAPACITY), 2 * size)
    for seed in range(4):
        caches.give_back(model.cache(CAPACITY), some_prompt(20, seed))
    assert len(caches) == 2 and caches.bytes <= 2 * size
    assert caches._idle[0].tokens == some_prompt(20, 2), "the oldest were dropped"


def test_a_file_says_how_its_tokens_are_sampled() -> None:
    keys: dict[str, Any] = {
        "general.sampling.temp": np.float32(0.6), "general.sampling.top_k": 20,
        "general.sampling.top_p": -3.0, "general.sampling.min_p": "x",
        "general.sampling.penalty_repeat": 1.05,
    }  # fmt: skip
    found = sampling_defaults(keys)
    assert (found.temperature, found.top_k, found.repeat_penalty) == (0.6, 20, 1.05)
    assert (found.top_p, found.min_p) == (Sampling().top_p, Sampling().min_p)
    assert sampling_defaults({}) == Sampling()
