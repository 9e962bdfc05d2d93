"""Runs the same chains on several models, and stores the answers in the run folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from zeropoint.metrics.chains.problems import FAMILIES, MAX_LEVEL, TITLES, Chain, make_chain
from zeropoint.metrics.chains.session import (
    PILOT_STEPS,
    PILOTS,
    ChainBatch,
    ChainProgress,
    StepResults,
    bos_of,
    chain_characters,
    few_shot_prefix,
    find_levels,
    run_chains,
)
from zeropoint.metrics.chains.summary import (
    ChainScores,
    compare_chains,
    join_scores,
    score_chains,
)
from zeropoint.models import MAX_BATCH_SEQUENCES, LanguageModel
from zeropoint.results.chains import ChainAnswers, ChainFamily, ChainsResult
from zeropoint.results.run_store import RunFolder, damaged

ALL_FAMILIES = tuple(FAMILIES)
EXPECTED_PILOT_LEVELS = 2  # of each family; how many are tried is known only afterwards


@dataclass(frozen=True)
class ChainSettings:
    """Selection of the chains to run."""

    count: int = 16  # of each family
    steps: int = 8  # of each chain
    families: tuple[str, ...] = ALL_FAMILIES
    level: int | None = None  # from 1 to 4; None: the hardest that the reference can do
    batch_size: int = MAX_BATCH_SEQUENCES  # chains that are run at once, if their caches fit


def estimate_tokens(settings: ChainSettings) -> float:
    """Return about how many tokens a reference and one more model generate, pilots included.

    A token of a prompt counts half, since prompts are processed many tokens at a time. A token has
    about two characters.
    """
    level = settings.level or EXPECTED_PILOT_LEVELS
    tokens = 0.0
    for family in settings.families:
        chain = make_chain(family, level, settings.steps, 0)
        prompt = len(few_shot_prefix(family, level)) / 4
        answers = chain_characters(chain, settings.steps) / 2
        tokens += 2 * settings.count * (prompt + answers)
        if settings.level is None:
            pilot = chain_characters(chain, PILOT_STEPS) / 2
            tokens += EXPECTED_PILOT_LEVELS * PILOTS * (prompt + pilot)
    return tokens


@dataclass
class Participant:
    """A model that answers chains, and its answers so far."""

    name: str
    model: LanguageModel
    results: dict[str, list[StepResults]] = field(default_factory=dict)  # by family


@dataclass
class ChainRun:
    """The same chains for several models; the first model is the reference and sets the levels."""

    settings: ChainSettings
    participants: Sequence[Participant]
    levels: dict[str, int] = field(default_factory=dict)  # by family
    folder: RunFolder | None = None

    def __post_init__(self) -> None:
        """Read the answers in the run folder. Raises CheckpointError if they are damaged."""
        for family in self.settings.families:
            self._load(family)
            if self.settings.level:
                self.levels.setdefault(family, self.settings.level)

    @property
    def total(self) -> int:
        """The number of answers that are missing; for the pilots it is an estimate."""
        missing = sum(len(self._missing(participant)) for participant in self.participants)
        return self._pilots() + missing * self.settings.count * self.settings.steps

    def run(self) -> Iterator[ChainProgress]:
        """Run all chains that a participant or the run folder has no answers to.

        Stopping between two records is safe.
        """
        done = self._pilots()
        if done:
            yield from self._find_levels(done)
        for participant in self.participants:
            missing = len(self._missing(participant)) * self.settings.count * self.settings.steps
            for record in self._run(participant):
                yield ChainProgress(done + record.done)
            done += missing
            yield ChainProgress(done)

    def _pilots(self) -> int:
        """Return about how many answers finding the levels takes."""
        unknown = [family for family in self.settings.families if family not in self.levels]
        return EXPECTED_PILOT_LEVELS * PILOTS * PILOT_STEPS * len(unknown)

    def _missing(self, participant: Participant) -> list[str]:
        return [family for family in self.settings.families if family not in participant.results]

    def chains(self, family: str) -> list[Chain]:
        """Return the chains of a family."""
        settings = self.settings
        return [
            make_chain(family, self.levels[family], settings.steps, seed)
            for seed in range(settings.count)
        ]

    def scores(self, participant: Participant, family: str) -> ChainScores:
        """Return the scores of a participant."""
        return score_chains(self.chains(family), participant.results[family])

    def results(self, place: int = 1) -> ChainsResult:
        """Compare a participant with the reference, for each family and for all families together.

        Families at which the reference is at the floor are not part of `together`.
        """
        reference, quant = self.participants[0], self.participants[place]
        families = {}
        counted = []
        for family in self.settings.families:
            scores = self.scores(reference, family), self.scores(quant, family)
            pair = compare_chains(*scores)
            families[family] = ChainFamily(
                title=TITLES[family], level=self.levels[family], **vars(pair)
            )
            if not pair.reference.at_floor:
                counted.append(scores)
        if not counted:
            return ChainsResult(families)
        both = (join_scores(side) for side in zip(*counted, strict=True))
        return ChainsResult(families, compare_chains(*both))

    def _find_levels(self, expected: int) -> Iterator[ChainProgress]:
        """Find the levels that are not known; `expected` is the estimated number of answers."""
        families = [f for f in self.settings.families if f not in self.levels]
        model = self.participants[0].model
        bos = bos_of(model.tokenizer)
        for record in find_levels(model, model.tokenizer, families, bos=bos):
            if isinstance(record, ChainProgress):
                yield ChainProgress(min(record.done, expected))
            else:
                self.levels |= record
        for family in families:
            self._save(family)

    def _run(self, participant: Participant) -> Iterator[ChainProgress]:
        """Run every family that one participant has no answers to."""
        tokenizer, settings = participant.model.tokenizer, self.settings
        families = self._missing(participant)
        batches = [
            ChainBatch(
                self.chains(family),
                settings.steps,
                few_shot_prefix(family, self.levels[family]),
                bos_of(tokenizer),
            )
            for family in families
        ]
        for record in run_chains(participant.model, tokenizer, batches, settings.batch_size):
            if isinstance(record, ChainProgress):
                yield record
            else:
                participant.results[families[record.batch]] = record.results
                self._save(families[record.batch])

    def _save(self, family: str) -> None:
        if self.folder is None:
            return
        chains = self.chains(family)
        table = ChainAnswers(
            title=TITLES[family],
            level=self.levels[family],
            heads=[chain.head for chain in chains],
            starts=[chain.start for chain in chains],
            truths=[chain.truths(self.settings.steps) for chain in chains],
            answers={
                str(place): tuple(tuple(one.answers) for one in participant.results[family])
                for place, participant in enumerate(self.participants)
                if family in participant.results
            },
            names=tuple(participant.name for participant in self.participants),
        )
        self.folder.save_table(f"chains-{family}", table.to_json())

    def _load(self, family: str) -> None:
        """Read the answers to a family from the run folder."""
        path = None if self.folder is None else self.folder.path / f"chains-{family}.json"
        if self.folder is None or path is None or not path.exists():
            return
        table = self.folder.load_record(f"chains-{family}", ChainAnswers)
        if not 1 <= table.level <= MAX_LEVEL:
            raise damaged(path, f"there is no level {table.level}")
        self.levels[family] = table.level
        chains = self.chains(family)
        for place, participant in enumerate(self.participants):
            answers = table.answers.get(str(place))
            if answers is None:
                continue
            if [len(row) for row in answers] != [self.settings.steps] * len(chains):
                raise damaged(path, "the number of answers differs")
            participant.results[family] = [
                StepResults.of(chain, row) for chain, row in zip(chains, answers, strict=True)
            ]
