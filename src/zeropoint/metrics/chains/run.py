"""Chains for several models: which ones, done by whom, kept in the run folder family by family."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from zeropoint.metrics.chains.problems import FAMILIES, LEVELS, TITLES, Chain, make_chain
from zeropoint.metrics.chains.session import (
    PILOT_STEPS,
    PILOTS,
    Answered,
    Done,
    Lesson,
    begin_of,
    do_chains,
    find_levels,
    write_examples,
)
from zeropoint.metrics.chains.summary import Scored, join, pair_figures, score
from zeropoint.models import TOGETHER, LanguageModel
from zeropoint.results.chains import ChainAnswers, ChainFamily, ChainsResult
from zeropoint.results.run_store import RunFolder, damaged

ALL_FAMILIES = tuple(FAMILIES)
PILOT_LEVELS = 2  # of each family that are tried, more or less


@dataclass(frozen=True)
class ChainSettings:
    """Which chains are done."""

    count: int = 16  # of each family
    steps: int = 8
    families: tuple[str, ...] = ALL_FAMILIES
    level: int | None = None  # None: the hardest that the reference is right at often enough
    together: int = TOGETHER


@dataclass
class Participant:
    """A model that does chains, and what it has done."""

    name: str
    model: LanguageModel
    done: dict[str, list[Done]] = field(default_factory=dict)  # by family


@dataclass
class Chaining:
    """The same chains for several models; the first is the reference and sets the levels."""

    settings: ChainSettings
    participants: Sequence[Participant]
    levels: dict[str, int] = field(default_factory=dict)
    run: RunFolder | None = None

    def __post_init__(self) -> None:
        """Take what the run folder holds; raises CheckpointError if it is damaged."""
        for family in self.settings.families:
            self._load(family)
            if self.settings.level:
                self.levels.setdefault(family, self.settings.level)

    @property
    def total(self) -> int:
        """Answers that are still to be given; pilots are not known before, and count as usual."""
        left = sum(len(self._undone(participant)) for participant in self.participants)
        return self._pilots() + left * self.settings.count * self.settings.steps

    def steps(self) -> Iterator[Answered]:
        """Let every model do every family; stopping between two records is safe.

        What a participant has done already, or the run folder holds, is not done again.
        """
        done = self._pilots()
        if done:
            yield from self._find_levels(done)
        for participant in self.participants:
            left = len(self._undone(participant)) * self.settings.count * self.settings.steps
            for record in self._do(participant):
                yield Answered(done + record.done)
            done += left
            yield Answered(done)

    def _pilots(self) -> int:
        """Answers that finding the levels takes."""
        unknown = [family for family in self.settings.families if family not in self.levels]
        return PILOT_LEVELS * PILOTS * PILOT_STEPS * len(unknown)

    def _undone(self, participant: Participant) -> list[str]:
        return [family for family in self.settings.families if family not in participant.done]

    def chains(self, family: str) -> list[Chain]:
        """Return the chains of a family."""
        settings = self.settings
        return [
            make_chain(family, self.levels[family], settings.steps, seed)
            for seed in range(settings.count)
        ]

    def scored(self, participant: Participant, family: str) -> Scored:
        """Return how right a participant was."""
        return score(self.chains(family), participant.done[family])

    def results(self, place: int = 1) -> ChainsResult:
        """Compare a participant with the first: `families`, and all of them `together`.

        Families at which the reference is at the floor tell nothing and are left out of `together`.
        """
        reference, quant = self.participants[0], self.participants[place]
        families = {}
        counted = []
        for family in self.settings.families:
            pair = self.scored(reference, family), self.scored(quant, family)
            found = pair_figures(*pair)
            families[family] = ChainFamily(
                title=TITLES[family], level=self.levels[family], **vars(found)
            )
            if not found.reference.at_floor:
                counted.append(pair)
        if not counted:
            return ChainsResult(families)
        sides = zip(*counted, strict=True)
        return ChainsResult(families, pair_figures(*(join(side) for side in sides)))

    def _find_levels(self, usual: int) -> Iterator[Answered]:
        """Find the levels that are not known, in about so many answers."""
        families = [f for f in self.settings.families if f not in self.levels]
        model = self.participants[0].model
        begin = begin_of(model.tokenizer)
        for record in find_levels(model, model.tokenizer, families, begin=begin):
            if isinstance(record, Answered):
                yield Answered(min(record.done, usual))
            else:
                self.levels |= record
        for family in families:
            self._save(family)

    def _do(self, participant: Participant) -> Iterator[Answered]:
        """Let one participant do every family that it has not done."""
        tokenizer, settings = participant.model.tokenizer, self.settings
        families = self._undone(participant)
        lessons = [
            Lesson(
                self.chains(family),
                settings.steps,
                write_examples(family, self.levels[family]),
                begin_of(tokenizer),
            )
            for family in families
        ]
        for record in do_chains(participant.model, tokenizer, lessons, settings.together):
            if isinstance(record, Answered):
                yield record
            else:
                participant.done[families[record.lesson]] = record.dones
                self._save(families[record.lesson])

    def _save(self, family: str) -> None:
        if self.run is None:
            return
        chains = self.chains(family)
        found = ChainAnswers(
            title=TITLES[family],
            level=self.levels[family],
            heads=[chain.head for chain in chains],
            starts=[chain.start for chain in chains],
            truths=[chain.truths(self.settings.steps) for chain in chains],
            answers={
                str(place): tuple(tuple(done.answers) for done in participant.done[family])
                for place, participant in enumerate(self.participants)
                if family in participant.done
            },
            names=tuple(participant.name for participant in self.participants),
        )
        self.run.save_table(f"chains-{family}", found.to_json())

    def _load(self, family: str) -> None:
        """Take from the run folder what is there of a family."""
        path = None if self.run is None else self.run.path / f"chains-{family}.json"
        if self.run is None or path is None or not path.exists():
            return
        table = self.run.load_record(f"chains-{family}", ChainAnswers)
        if not 1 <= table.level <= LEVELS:
            raise damaged(path, f"there is no level {table.level}")
        self.levels[family] = table.level
        chains = self.chains(family)
        for place, participant in enumerate(self.participants):
            answers = table.answers.get(str(place))
            if answers is None:
                continue
            if [len(row) for row in answers] != [self.settings.steps] * len(chains):
                raise damaged(path, "it has another number of answers")
            participant.done[family] = [
                Done.of(chain, row) for chain, row in zip(chains, answers, strict=True)
            ]
