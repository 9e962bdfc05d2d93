"""Runs chains on a model: problems of several steps, each on the model's own earlier answers.

Chains of all families are batched together. The text that zeropoint writes between two answers is
forced token by token, so that one cache serves the whole dialogue.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeropoint.formats import F32
from zeropoint.metrics.chains.problems import MAX_LEVEL, Chain, make_chain
from zeropoint.models import (
    MAX_BATCH_SEQUENCES,
    Batch,
    CompletedText,
    Tokenizer,
    fitting_batch_size,
    generate_batch,
    in_batches,
)

EXAMPLES, EXAMPLE_STEPS = 2, 4  # solved chains in the few-shot prefix, and their steps
PILOTS, PILOT_STEPS = 8, 3  # chains that choose the level, and their steps
MIN_PILOT_ACCURACY = 0.6  # at the level that is chosen
MAX_STATE_CHARACTERS = 40  # of an unreadable answer, repeated in the next operation
_EXAMPLE_SEED = -1  # the seeds of measured chains are 0 and up


class ChainTokenizer(Protocol):
    """The part of a tokenizer that chains need; `models.Tokenizer` has it."""

    @property
    def stops(self) -> frozenset[int]:
        """Tokens that end a text."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text."""

    def piece(self, index: int) -> bytes:
        """Return the bytes of a token."""


@dataclass(frozen=True)
class ChainProgress:
    """Progress of the chains."""

    done: int  # answers


@dataclass(frozen=True)
class StepResults:
    """One model's answers to one chain, step by step, and the states read from them."""

    answers: tuple[str, ...]
    states: tuple[str | None, ...]

    @classmethod
    def of(cls, chain: Chain, answers: Sequence[str]) -> "StepResults":
        """Read the states from the answers to a chain."""
        return cls(tuple(answers), tuple(chain.read(answer) for answer in answers))


@dataclass(frozen=True)
class ChainBatch:
    """Chains of one family, with the same few-shot prefix."""

    chains: Sequence[Chain]
    steps: int  # of each chain
    prefix: str = ""  # solved chains
    bos: Sequence[int] = ()  # token ids before everything


@dataclass(frozen=True)
class BatchDone:
    """All chains of one batch are answered."""

    batch: int  # its index
    results: list[StepResults]


def run_chains(
    model: Batch,
    tokenizer: ChainTokenizer,
    batches: Sequence[ChainBatch],
    batch_size: int = MAX_BATCH_SEQUENCES,
) -> Iterator[ChainProgress | BatchDone]:
    """Answer all chains greedily, up to `batch_size` of them at once."""
    owners = [number for number, batch in enumerate(batches) for _ in batch.chains]
    dialogues = [
        ChainDialogue(chain, batch.steps, tokenizer) for batch in batches for chain in batch.chains
    ]
    prompts = [
        [*batches[owner].bos, *tokenizer.encode(dialogue.opening(batches[owner].prefix))]
        for owner, dialogue in zip(owners, dialogues, strict=True)
    ]
    unfinished = Counter(owners)
    pairs = zip(prompts, dialogues, strict=True)
    longest = max((len(ids) + dialogue.characters() // 2 for ids, dialogue in pairs), default=1)
    for group in in_batches(prompts, fitting_batch_size(model, longest, batch_size)):
        running = [dialogues[index] for index in group]
        records = generate_batch(
            model,
            [prompts[index] for index in group],
            lambda index, _step, logits, running=running: running[index].choose(logits),  # type: ignore[misc]
            limit=max(dialogue.max_tokens() for dialogue in running),
            stops=frozenset(),
        )
        reported = -1
        for record in records:
            answered = sum(len(dialogue.states) for dialogue in dialogues)
            if isinstance(record, CompletedText):
                owner = owners[group[record.index]]
                unfinished[owner] -= 1
                if not unfinished[owner]:
                    owned = zip(owners, dialogues, strict=True)
                    yield BatchDone(owner, [d.results() for o, d in owned if o == owner])
            elif answered != reported:
                reported = answered
                yield ChainProgress(answered)


class ChainDialogue:
    """The dialogue of one chain: chooses the next token, the model's or a forced one."""

    def __init__(self, chain: Chain, steps: int, tokenizer: ChainTokenizer) -> None:
        self.chain = chain
        self.steps = steps
        self.answers: list[str] = []
        self.states: list[str | None] = []
        self._tokenizer = tokenizer
        self._forced: list[int] = []
        self._answered = b""
        longest = max(len(chain.write(state)) for state in chain.truths(steps))
        self._max_answer_bytes = 2 * longest + 16  # a longer answer is cut

    def opening(self, prefix: str) -> str:
        """Return the text before the first answer."""
        return f"{prefix}{self.chain.head}\n{self.chain.ask(0, self.chain.start)}"

    def max_tokens(self) -> int:
        """Return the maximum number of tokens of the dialogue."""
        return 2 * self.characters() + self.steps * 2 * self._max_answer_bytes

    def characters(self) -> int:
        """Return the length of a correct dialogue in characters, about two for each token."""
        return chain_characters(self.chain, self.steps)

    def choose(self, logits: F32) -> int | None:
        """Return the next token, given logits (vocabulary,); None after the last answer."""
        if not self._forced:
            token = int(logits.argmax())
            ends = token in self._tokenizer.stops
            answer = self._answered + (b"" if ends else self._tokenizer.piece(token))
            line, newline, _ = answer.partition(b"\n")
            if not (ends or newline or len(answer) > self._max_answer_bytes):
                self._answered = answer
                return token
            self._answer(line)
            if len(self.states) == self.steps:
                return None
            # The token of the newline may begin with characters of the answer.
            tail = line[len(self._answered) :] if newline else b""
            unreadable = line.decode("utf-8", "replace").strip()[:MAX_STATE_CHARACTERS]
            state = self.states[-1] or unreadable
            question = self.chain.ask(len(self.states), state)
            self._forced = self._tokenizer.encode(f"{tail.decode('utf-8', 'replace')}\n{question}")
            self._answered = b""
        return self._forced.pop(0)

    def results(self) -> StepResults:
        """Return the answers; those that did not fit the context are empty."""
        missing = self.steps - len(self.states)
        return StepResults((*self.answers, *[""] * missing), (*self.states, *[None] * missing))

    def _answer(self, line: bytes) -> None:
        answer = line.decode("utf-8", "replace")
        self.answers.append(answer)
        self.states.append(self.chain.read(answer))


def chain_characters(chain: Chain, steps: int) -> int:
    """Return the length of a correct dialogue of so many steps, in characters."""
    states = [chain.start, *chain.truths(steps)]
    questions = sum(len(chain.ask(step, states[step])) for step in range(steps))
    return questions + sum(len(chain.write(state)) + 1 for state in states[1:])


def few_shot_prefix(family: str, level: int) -> str:
    """Return the few-shot prefix: solved chains that show the task."""
    texts = []
    for number in range(EXAMPLES):
        chain = make_chain(family, level, EXAMPLE_STEPS, _EXAMPLE_SEED - number)
        states = [chain.start, *chain.truths(EXAMPLE_STEPS)]
        lines = [
            chain.ask(step, states[step]) + chain.write(states[step + 1])
            for step in range(EXAMPLE_STEPS)
        ]
        texts.append("\n".join([chain.head, *lines]) + "\n\n")
    return "".join(texts)


def find_levels(
    model: Batch,
    tokenizer: ChainTokenizer,
    families: Sequence[str],
    *,
    bos: Sequence[int] = (),
) -> Iterator[ChainProgress | dict[str, int]]:
    """Find the hardest level of each family at which the reference has MIN_PILOT_ACCURACY.

    The last record has the levels, by family. If even the easiest level is too hard, it is level 1,
    and the result reports that the reference is at the floor.
    """
    levels = dict.fromkeys(families, 1)
    candidates, done = list(families), 0
    for level in range(1, MAX_LEVEL + 1):
        batches = [
            ChainBatch(
                [make_chain(family, level, PILOT_STEPS, 1000 + n) for n in range(PILOTS)],
                PILOT_STEPS,
                few_shot_prefix(family, level),
                bos,
            )
            for family in candidates
        ]
        passed = []
        for record in run_chains(model, tokenizer, batches):
            if isinstance(record, ChainProgress):
                yield ChainProgress(done + record.done)
                continue
            pairs = zip(batches[record.batch].chains, record.results, strict=True)
            accuracy = np.mean([correct_states(chain, result) for chain, result in pairs])
            if accuracy >= MIN_PILOT_ACCURACY:
                passed.append(candidates[record.batch])
        levels |= dict.fromkeys(passed, level)
        done += len(candidates) * PILOTS * PILOT_STEPS
        candidates = [family for family in candidates if family in passed]
        if not candidates:
            break
    yield levels


def correct_states(chain: Chain, results: StepResults) -> list[bool]:
    """Return for each step whether the state is the correct one."""
    truths = chain.truths(len(results.states))
    return [state == truth for state, truth in zip(results.states, truths, strict=True)]


def correct_steps(chain: Chain, results: StepResults) -> list[bool | None]:
    """Return for each step whether it follows from the model's previous state, right or wrong.

    None if the operation does not apply to that state.
    """
    correct: list[bool | None] = []
    previous: str | None = chain.start
    for step, state in enumerate(results.states):
        expected = None if previous is None else chain.apply(step, previous)
        correct.append(None if expected is None else state == expected)
        previous = state
    return correct


def bos_of(tokenizer: Tokenizer) -> list[int]:
    """Return the BOS token as a list; empty if the model does not need it before a text."""
    bos = tokenizer.vocabulary.bos
    return [bos] if tokenizer.adds_bos and bos is not None else []
