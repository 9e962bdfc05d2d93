"""Texts of a scheduler without a server, and the same texts generated alone."""

from collections import Counter
from typing import Any

import numpy as np

from zeropoint.models import Finished, LanguageModel, Sampling, Token, generate
from zeropoint.server.engine.scheduler import Scheduler
from zeropoint.server.engine.text import TextWork
from zeropoint.server.engine.token_choice import ChoiceRules

CAPACITY = 512


def engine(model: LanguageModel, slots: int = 3, **options: Any) -> Scheduler:
    options = {"capacity": CAPACITY, "cache_budget_bytes": 1 << 30, **options}
    return Scheduler(model, slots=slots, **options)


def work(id: int, prompt: list[int], limit: int = 12, seed: int = 0, **more: Any) -> TextWork:
    rules = ChoiceRules(sampling=Sampling(seed=seed, temperature=1.0))
    return TextWork(id=id, prompt=prompt, limit=limit, **{"rules": rules, **more})


def some_prompt(length: int, seed: int) -> list[int]:
    ids: list[int] = np.random.default_rng(seed).integers(3, 250, length).tolist()
    return ids


def run(scheduler: Scheduler, steps: int = 10_000) -> dict[int, dict[str, Any]]:
    """Work until nothing is left; return the end of each text, with its `text`."""
    texts: Counter[int] = Counter()
    joined: dict[int, str] = {}
    ends: dict[int, dict[str, Any]] = {}
    for _ in range(steps):
        if not scheduler.busy:
            break
        for event in scheduler.step():
            if event["type"] == "text":
                texts[event["id"]] += 1
                joined[event["id"]] = joined.get(event["id"], "") + event["text"]
            elif event["type"] == "end":
                ends[event["id"]] = {**event, "text": joined.get(event["id"], "")}
    return ends


def alone(model: LanguageModel, prompt: list[int], limit: int, seed: int) -> list[int]:
    records = list(
        generate(
            model, prompt, limit=limit, sampling=Sampling(seed=seed, temperature=1.0),
            stops=frozenset(), cache=model.cache(CAPACITY),
        )
    )  # fmt: skip
    assert isinstance(records[-1], Finished)
    return [record.id for record in records if isinstance(record, Token)]
