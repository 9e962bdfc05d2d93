"""Guesses in the engine: no text changes, alone or between passes with other texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import hf_folders
from support.scheduled_texts import CAPACITY, alone, engine, run, some_prompt, work
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.models import LanguageModel, Sampling, load_model
from zeropoint.models.speculation import draft_maker
from zeropoint.server.engine.token_choice import ChoiceRules


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    path = write_model(tmp_path_factory.mktemp("server") / "tiny.gguf")
    return load_model(open_checkpoint(path), threads=1)


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same model in fewer bits."""
    return str(write_model(tmp_path_factory.mktemp("draft") / "tiny.gguf", format="Q2_K"))


@pytest.mark.parametrize("by_model", [False, True])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_guessing_never_changes_a_text(
    mode: Any, by_model: bool, model: LanguageModel, smaller: str
) -> None:
    """A low temperature makes a random model repeat itself, so that many guesses are right."""
    model.mode = mode
    ends: list[dict[int, dict[str, Any]]] = []
    for drafts in (None, draft_maker(smaller if by_model else "ngram", model)):
        scheduler = engine(model, slots=1, drafts=drafts, cache_budget_bytes=0)
        for at, temperature in enumerate((0.0, 0.05, 0.3, 1.0)):
            sampling = Sampling(seed=at, temperature=temperature)
            rules = ChoiceRules(sampling=sampling, frequency_penalty=0.01 * at)
            scheduler.add(work(at, [5, 6, 7] * 4, limit=60, rules=rules))
        rules = ChoiceRules(sampling=Sampling(temperature=0.0))
        scheduler.add(work(4, [8, 9] * ((CAPACITY - 40) // 2), limit=100, top=0, rules=rules))
        if drafts:
            ids = ends[0][0]["ids"]
            stop = frozenset({ids[40]})
            scheduler.add(work(5, [5, 6, 7] * 4, limit=60, rules=rules, stop_ids=stop))
        ends.append(run(scheduler))
    model.mode = "exact"
    assert 0 < scheduler.counts.tokens_accepted_total < scheduler.counts.tokens_drafted_total
    for at in range(5):
        for key in ("ids", "text", "reason"):
            assert ends[0][at][key] == ends[1][at][key], (at, key)
    assert ends[1][4]["reason"] == "context"
    assert ends[1][5]["ids"] == ids[: ids.index(ids[40])]


class HalfRight:
    """Guesses the next four tokens of a known text; every second guess has a wrong one."""

    def __init__(self, prompt: list[int], text: list[int]) -> None:
        self._text, self._start = text, len(prompt)
        self._known = len(prompt)
        self._guesses = 0

    def __len__(self) -> int:
        return self._known

    def extend(self, tokens: list[int]) -> None:
        self._known += len(tokens)

    def observe(self, start: int, states: np.ndarray) -> None:
        assert states.ndim == 2 and start <= self._known

    def propose(self, limit: int) -> list[int]:
        at = self._known - self._start
        guess = self._text[at : at + min(limit, 4)]
        self._guesses += 1
        if guess and self._guesses % 2:
            guess[len(guess) // 2] ^= 1
        return guess

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        assert accepted == (proposed // 2 if self._guesses % 2 else proposed)


def test_texts_with_recurrent_layers_are_guessed_alone_and_go_on_together(tmp_path: Path) -> None:
    """A wrong guess leaves tokens for the next pass, which may be one of several texts."""
    recurrent = load_model(hf_folders.make_folder("qwen35", tmp_path / "model"), threads=1)
    prompts = {0: some_prompt(15, 1), 1: some_prompt(9, 2)}
    texts = {at: alone(recurrent, prompt, 40, at) for at, prompt in prompts.items()}
    known = {tuple(prompts[at]): text for at, text in texts.items()}
    scheduler = engine(
        recurrent, slots=2,
        drafts=lambda prompt, *_: HalfRight(list(prompt), known[tuple(prompt)]),
    )  # fmt: skip
    scheduler.add(work(0, prompts[0], limit=40, seed=0))
    for _ in range(4):
        scheduler.step()
    scheduler.add(work(1, prompts[1], limit=12, seed=1))
    ends = run(scheduler)
    assert ends[0]["ids"] == texts[0] and ends[1]["ids"] == texts[1][:12]
    counts = scheduler.counts
    assert 0 < counts.tokens_accepted_total < counts.tokens_drafted_total
    assert counts.busy_slots_total > counts.n_decode_total, "they were decoded together too"


def test_guessing_leaves_a_cache_that_is_right(model: LanguageModel) -> None:
    scheduler = engine(model, slots=1, drafts=draft_maker("ngram", model))
    rules = ChoiceRules(sampling=Sampling(temperature=0.0))
    scheduler.add(work(1, [5, 6, 7] * 4, limit=60, rules=rules))
    ids = run(scheduler)[1]["ids"]
    assert scheduler.counts.tokens_drafted_total
    prompt = [*[5, 6, 7] * 4, *ids, 11]
    scheduler.add(work(2, prompt, limit=8, seed=3))
    end = run(scheduler)[2]
    assert end["cached_tokens"] >= 60 and end["ids"] == alone(model, prompt, 8, 3)
