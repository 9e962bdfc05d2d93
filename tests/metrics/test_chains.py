"""Chains: tasks whose truth is known, and models whose error rate is known."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.metrics.chains.problems import FAMILIES, MAX_LEVEL, Chain, make_chain
from zeropoint.metrics.chains.run import ChainRun, ChainSettings, Participant
from zeropoint.metrics.chains.session import (
    BatchDone,
    ChainBatch,
    ChainDialogue,
    StepResults,
    correct_steps,
    few_shot_prefix,
    find_levels,
    run_chains,
)
from zeropoint.metrics.chains.summary import (
    compare_chains,
    join_scores,
    score_chains,
    summarize_model,
)
from zeropoint.models import load_model

ALL = pytest.mark.parametrize("family", list(FAMILIES))
STEPS = 8


class Letters:
    """A tokenizer of bytes; 256 ends a text."""

    stops = frozenset({256})

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def piece(self, index: int) -> bytes:
        return bytes([index]) if index < 256 else b""


class Memory:
    """A cache that holds the texts themselves."""

    max_bytes = 8

    def __init__(self, capacity: int, sequences: int) -> None:
        self.capacity = capacity
        self.texts = [b""] * sequences

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(text) for text in self.texts])

    def truncate(self, length: int, sequence: int = 0) -> None:
        self.texts[sequence] = self.texts[sequence][:length]

    def keep(self, position: int, sequence: int = 0) -> None:
        """Do nothing: every position can be returned to."""

    def copy(self, source: int, target: int) -> None:
        self.texts[target] = self.texts[source]


class Solver:
    """Does a family's chains right but for a known share of its steps; knows them by their text."""

    context_length = 1 << 16

    def __init__(self, chains: list[Chain], slips: float, after: float, seed: int = 0) -> None:
        self.chains = {f"{c.head}\n{c.ask(0, c.start)}".encode(): c for c in chains}
        self.random = np.random.default_rng(seed)
        self.slips = slips
        self.after = after
        self.plans: dict[bytes, tuple[bytes, bool]] = {}
        self.texts: list[bytes] = []

    def cache(self, capacity: int, *, sequences: int = 1) -> Memory:
        return Memory(capacity, sequences)

    def hidden(self, tokens: np.ndarray, cache: Memory) -> np.ndarray:
        states = np.zeros((*tokens.shape, 1), np.float32)
        for row, ids in enumerate(tokens.tolist()):
            for place, token in enumerate(ids):
                cache.texts[row] += bytes([token])
                states[row, place] = len(self.texts)
                self.texts.append(cache.texts[row])
        return states

    def head(self, rows: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(rows), 257), np.float32)
        for row, (place,) in enumerate(rows.astype(int)):
            logits[row, self.next_byte(self.texts[place])] = 1
        return logits

    def next_byte(self, text: bytes) -> int:
        """The byte that the solver writes after a text: its plan is made where an answer begins."""
        start, opening = max((text.rfind(opening), opening) for opening in self.chains)
        chain = self.chains[opening]
        state, step = chain.start, 0
        at = start + len(opening)
        slipped = False
        while len(text) >= at:
            plan, slip = self.plan(text[:at], chain, step, state, slipped)
            slipped = slipped or slip
            if len(text) < at + len(plan):
                return plan[len(text) - at]
            state = chain.read(plan.decode()) or ""
            step += 1
            at += len(plan) + (
                len(chain.ask(step, state).encode()) if step < len(chain.numbers) else 0
            )
        return 0  # within what is forced: nobody listens

    def plan(
        self, before: bytes, chain: Chain, step: int, state: str, slipped: bool
    ) -> tuple[bytes, bool]:
        if before not in self.plans:
            right = chain.apply(step, state)
            assert right is not None
            slip = bool(self.random.random() < (self.after if slipped else self.slips))
            wrong = str(int(right) + 1)
            self.plans[before] = f"{chain.write(wrong if slip else right)}\n".encode(), slip
        return self.plans[before]


def play(model: Solver, chains: list[Chain]) -> list[StepResults]:
    *_, finished = run_chains(model, Letters(), [ChainBatch(chains, STEPS)])  # type: ignore[arg-type]
    assert isinstance(finished, BatchDone)
    return finished.results


def sums(count: int) -> list[Chain]:
    """Chains that no two begin alike, so that the solver knows them apart."""
    found: dict[str, Chain] = {}
    for seed in range(4 * count):
        chain = make_chain("sums", 3, STEPS, seed)
        found.setdefault(chain.ask(0, chain.start), chain)
    return list(found.values())[:count]


def test_accuracy_by_steps_is_that_of_a_known_slip_rate() -> None:
    """One step in ten slips, and a sum is never right again: (1 − 0.1)^s."""
    chains = sums(150)
    dones = play(Solver(chains, 0.1, 0.3, seed=3), chains)
    figures = summarize_model(score_chains(chains, dones))
    assert figures.slip.low < 0.1 < figures.slip.high
    assert figures.after_slip.low < 0.3 < figures.after_slip.high
    inside = [
        step.low <= 0.9 ** (number + 1) <= step.high for number, step in enumerate(figures.accuracy)
    ]
    assert sum(inside) >= STEPS - 1
    assert figures.predicted[3] == pytest.approx((1 - figures.slip.mean) ** 4)


def test_a_worse_model_is_told_apart_at_a_later_step_than_the_first() -> None:
    """2 % against 8 % per step: too little at one step, plain after several."""
    chains = sums(80)
    reference = score_chains(chains, play(Solver(chains, 0.02, 0.3, seed=1), chains))
    quant = score_chains(chains, play(Solver(chains, 0.08, 0.3, seed=2), chains))
    figures = compare_chains(reference, quant)
    assert figures.distinguishable is not None and 1 < figures.distinguishable < STEPS
    last = figures.steps[-1]
    assert last.lost > last.won and last.p < 0.001 and last.difference.high < 0
    same = compare_chains(reference, reference)
    assert same.distinguishable is None
    assert all(s.p == 1 and s.difference.mean == 0 for s in same.steps)


@ALL
@pytest.mark.parametrize("level", range(1, MAX_LEVEL + 1))
def test_a_chain_done_right_is_right_at_every_step(family: str, level: int) -> None:
    for seed in range(5):
        chain = make_chain(family, level, STEPS, seed)
        assert chain == make_chain(family, level, STEPS, seed)
        answers = tuple(chain.write(state) for state in chain.truths(STEPS))
        done = StepResults(answers, tuple(chain.read(answer) for answer in answers))
        assert list(done.states) == chain.truths(STEPS)
        assert correct_steps(chain, done) == [True] * STEPS
        states = [chain.start, *chain.truths(STEPS)]
        assert family in ("machine", "lists", "json") or all(
            one != other for one, other in pairwise(states)
        )


@ALL
def test_an_answer_of_nonsense_is_wrong_and_the_chain_goes_on(family: str) -> None:
    chain = make_chain(family, 2, STEPS, 0)
    dialogue = ChainDialogue(chain, STEPS, Letters())
    babble = iter("§ no\n" * 10_000)
    written: list[int] = []

    def logits() -> np.ndarray:
        row = np.zeros(257, np.float32)
        row[next(nonsense)] = 1
        return row

    nonsense: Iterator[int] = (byte for char in babble for byte in char.encode())
    while (token := dialogue.choose(logits())) is not None:
        written.append(token)
        assert len(written) < dialogue.max_tokens()
    done = dialogue.results()
    assert len(done.states) == STEPS
    assert not any(score_chains([chain], [done]).right[0])


def test_an_answer_that_never_ends_is_cut() -> None:
    chain = make_chain("sums", 1, STEPS, 0)
    dialogue = ChainDialogue(chain, STEPS, Letters())
    row = np.zeros(257, np.float32)
    row[ord("7")] = 1
    count = 0
    while dialogue.choose(row) is not None:
        count += 1
        assert count < dialogue.max_tokens()
    assert len(dialogue.results().answers) == STEPS


def test_a_token_with_more_than_the_newline_keeps_what_is_before_it() -> None:
    """As tokenizers have it: `]` and the newline may be one token."""

    class Pairs(Letters):
        def piece(self, index: int) -> bytes:
            return b"]\n" if index == 200 else super().piece(index)

    chain = make_chain("lists", 1, 2, 3)
    dialogue = ChainDialogue(chain, 2, Pairs())
    text = b""
    for token in [*chain.write(chain.truths(1)[0])[:-1].encode(), 200]:
        row = np.zeros(257, np.float32)
        row[token] = 1
        token_id = dialogue.choose(row)
        text += bytes([token_id])  # type: ignore[list-item]
    while dialogue._forced:
        text += bytes([dialogue.choose(row)])  # type: ignore[list-item]
    first = chain.truths(1)[0]
    assert text.decode() == f"{chain.write(first)}\n{chain.ask(1, first)}"


def test_the_level_is_the_hardest_that_is_right_often_enough() -> None:
    chains = [make_chain("sums", level, 3, 1000 + n) for level in range(1, 5) for n in range(8)]

    class Easily(Solver):
        def plan(self, before: bytes, chain: Chain, step: int, state: str, slipped: bool):  # type: ignore[no-untyped-def]
            self.slips = 1.0 if int(chain.start) >= 303 else 0.0
            self.after = self.slips
            return super().plan(before, chain, step, state, slipped)

    *_, levels = find_levels(Easily(chains, 0, 0), Letters(), ["sums"])
    assert levels == {"sums": 2}
    *_, levels = find_levels(Solver(chains, 1, 1), Letters(), ["sums"])
    assert levels == {"sums": 1}


def test_examples_show_what_is_asked_for() -> None:
    text = few_shot_prefix("tools", 1)
    assert text.count("\n\n") == 2 and text.count("call open(") == 2 * 5
    figures = summarize_model(
        join_scores([score_chains(sums(2), [StepResults(("",) * 8, (None,) * 8)] * 2)] * 2)
    )
    assert figures.at_floor and figures.accuracy[0].mean == 0


def test_what_is_done_counts_no_more(tmp_path: Path) -> None:
    """Progress ends at its total; the next quant waits neither for pilots nor for the reference."""
    model = load_model(open_checkpoint(write_model(tmp_path / "tiny.gguf", columns=128)), threads=1)
    settings = ChainSettings(count=2, steps=2, families=("sums", "hops"))
    reference, levels = Participant("reference", model), {}
    first = ChainRun(settings, (reference, Participant("quant", model)), levels)
    total = first.total
    *_, last = first.run()
    assert last.done == total > 2 * 2 * 2 * 2 and first.total == 0
    second = ChainRun(settings, (reference, Participant("another", model)), levels)
    assert second.total == 2 * 2 * 2
    *_, last = second.run()
    assert last.done == 2 * 2 * 2 and second.results() == first.results()
