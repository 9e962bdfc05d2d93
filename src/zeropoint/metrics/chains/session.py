"""Chains: tasks of several steps, done by a model on its own earlier answers.

Chains of all families go through the model together. What zeropoint writes is forced token by
token between the answers, so that one cache serves the whole dialogue.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from zeropoint.formats import F32
from zeropoint.metrics.chains.problems import LEVELS, Chain, make_chain
from zeropoint.models import (
    TOGETHER,
    Batch,
    Tokenizer,
    Written,
    at_once,
    generate_together,
    in_batches,
)

EXAMPLES, EXAMPLE_STEPS = 2, 4  # done by us before each chain
PILOTS, PILOT_STEPS = 8, 3  # chains that find the level
ENOUGH = 0.6  # of the pilots' answers are right at the level that is taken
_EXAMPLE_SEED = -1  # seeds of chains that are measured are 0 and up


class Words(Protocol):
    """What is needed of a tokenizer; `models.Tokenizer` is one."""

    @property
    def stops(self) -> frozenset[int]:
        """Tokens that end a text."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a text."""

    def piece(self, index: int) -> bytes:
        """Return the bytes of a token."""


@dataclass(frozen=True)
class Answered:
    """So many answers are given."""

    done: int


@dataclass(frozen=True)
class Done:
    """One chain as a model did it: what it wrote at each step, and the states read from it."""

    answers: tuple[str, ...]
    states: tuple[str | None, ...]

    @classmethod
    def of(cls, chain: Chain, answers: Sequence[str]) -> "Done":
        """Return a chain as it was done by these answers."""
        return cls(tuple(answers), tuple(chain.read(answer) for answer in answers))


@dataclass(frozen=True)
class Lesson:
    """Chains of one kind: so many steps each, after examples that show how it is done."""

    chains: Sequence[Chain]
    steps: int
    examples: str = ""
    begin: Sequence[int] = ()  # BOS, before everything


@dataclass(frozen=True)
class Learned:
    """All chains of one lesson are done."""

    lesson: int
    dones: list[Done]


def do_chains(
    model: Batch, words: Words, lessons: Sequence[Lesson], together: int = TOGETHER
) -> Iterator[Answered | Learned]:
    """Let the model do all chains of all lessons greedily, up to `together` of them at once."""
    owners = [number for number, lesson in enumerate(lessons) for _ in lesson.chains]
    players = [Player(chain, lesson.steps, words) for lesson in lessons for chain in lesson.chains]
    prompts = [
        [*lessons[owner].begin, *words.encode(player.opening(lessons[owner].examples))]
        for owner, player in zip(owners, players, strict=True)
    ]
    left = Counter(owners)
    pairs = zip(prompts, players, strict=True)
    longest = max((len(ids) + player.characters() // 2 for ids, player in pairs), default=1)
    for group in in_batches(prompts, at_once(model, longest, together)):
        seated = [players[index] for index in group]
        records = generate_together(
            model,
            [prompts[index] for index in group],
            lambda index, _step, logits, seated=seated: seated[index].choose(logits),  # type: ignore[misc]
            limit=max(player.most_tokens() for player in seated),
            stops=frozenset(),
        )
        said = -1
        for record in records:
            now = sum(len(player.states) for player in players)
            if isinstance(record, Written):
                owner = owners[group[record.index]]
                left[owner] -= 1
                if not left[owner]:
                    theirs = zip(owners, players, strict=True)
                    yield Learned(owner, [player.done() for o, player in theirs if o == owner])
            elif now != said:
                said = now
                yield Answered(now)


class Player:
    """A model at one chain: says which token comes next, its own or one of ours."""

    def __init__(self, chain: Chain, steps: int, words: Words) -> None:
        self.chain = chain
        self.steps = steps
        self.answers: list[str] = []
        self.states: list[str | None] = []
        self._words = words
        self._forced: list[int] = []
        self._said = b""
        longest = max(len(chain.write(state)) for state in chain.truths(steps))
        self._room = 2 * longest + 16  # bytes; an answer that does not end is cut

    def opening(self, examples: str) -> str:
        """Return the text before the first answer."""
        return f"{examples}{self.chain.head}\n{self.chain.ask(0, self.chain.start)}"

    def most_tokens(self) -> int:
        """Return how many tokens the dialogue may take."""
        return 2 * self.characters() + self.steps * 2 * self._room

    def characters(self) -> int:
        """Return how long the dialogue is if it is done right: some two for each of its tokens."""
        states = [self.chain.start, *self.chain.truths(self.steps)]
        asked = sum(len(self.chain.ask(step, states[step])) for step in range(self.steps))
        return asked + sum(len(self.chain.write(state)) + 1 for state in states[1:])

    def choose(self, logits: F32) -> int | None:
        """Return the next token; None when the last answer is given."""
        if not self._forced:
            token = int(logits.argmax())
            ends = token in self._words.stops
            said = self._said + (b"" if ends else self._words.piece(token))
            line, newline, _ = said.partition(b"\n")
            if not (ends or newline or len(said) > self._room):
                self._said = said
                return token
            self._answer(line)
            if len(self.states) == self.steps:
                return None
            tail = line[len(self._said) :] if newline else b""  # of the token that has the newline
            state = self.states[-1] or line.decode("utf-8", "replace").strip()[:40]
            asked = self.chain.ask(len(self.states), state)
            self._forced = self._words.encode(f"{tail.decode('utf-8', 'replace')}\n{asked}")
            self._said = b""
        return self._forced.pop(0)

    def done(self) -> Done:
        """Return what was answered; a chain that the context cut short misses its last answers."""
        missing = self.steps - len(self.states)
        return Done((*self.answers, *[""] * missing), (*self.states, *[None] * missing))

    def _answer(self, line: bytes) -> None:
        answer = line.decode("utf-8", "replace")
        self.answers.append(answer)
        self.states.append(self.chain.read(answer))


def write_examples(family: str, level: int) -> str:
    """Return chains that are done, to show what is asked for."""
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
    model: Batch, words: Words, families: Sequence[str], *, begin: Sequence[int] = ()
) -> Iterator[Answered | dict[str, int]]:
    """Find the hardest level of each family at which the reference is right often enough.

    Yields them last. Where even the easiest is too hard, it is level 1, and the figures say that it
    is at the floor.
    """
    levels = dict.fromkeys(families, 1)
    trying, done = list(families), 0
    for level in range(1, LEVELS + 1):
        lessons = [
            Lesson(
                [make_chain(family, level, PILOT_STEPS, 1000 + n) for n in range(PILOTS)],
                PILOT_STEPS,
                write_examples(family, level),
                begin,
            )
            for family in trying
        ]
        passed = []
        for record in do_chains(model, words, lessons):
            if isinstance(record, Answered):
                yield Answered(done + record.done)
                continue
            pairs = zip(lessons[record.lesson].chains, record.dones, strict=True)
            if np.mean([right_states(chain, one) for chain, one in pairs]) >= ENOUGH:
                passed.append(trying[record.lesson])
        levels |= dict.fromkeys(passed, level)
        done += len(trying) * PILOTS * PILOT_STEPS
        trying = [family for family in trying if family in passed]
        if not trying:
            break
    yield levels


def right_states(chain: Chain, done: Done) -> list[bool]:
    """Tell for each step whether the state is that of the truth."""
    truths = chain.truths(len(done.states))
    return [state == truth for state, truth in zip(done.states, truths, strict=True)]


def right_steps(chain: Chain, done: Done) -> list[bool | None]:
    """Tell for each step whether it is right for the state before it, right or wrong as that was.

    None where the state before was none that the operation fits.
    """
    found: list[bool | None] = []
    before: str | None = chain.start
    for step, state in enumerate(done.states):
        wanted = None if before is None else chain.apply(step, before)
        found.append(None if wanted is None else state == wanted)
        before = state
    return found


def begin_of(tokenizer: Tokenizer) -> list[int]:
    """Return BOS where the model wants it before a text."""
    bos = tokenizer.vocabulary.bos
    return [bos] if tokenizer.adds_bos and bos is not None else []
