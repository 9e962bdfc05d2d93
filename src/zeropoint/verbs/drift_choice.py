"""How many prompts and chains `drift` takes, if no option says so."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from zeropoint.metrics.chains.run import ChainSettings, estimate_tokens
from zeropoint.results.chosen_count import ChosenCount, stored_count
from zeropoint.results.run_store import RunFolder
from zeropoint.verbs.default_count import DEFAULT_SECONDS, CountChoice, CountChosen
from zeropoint.verbs.options.drift import DriftOptions

TIMED_TOKENS = 16  # generated for each of the prompts that are timed
CHAIN_COUNTS = (16, 8, 4)  # of each kind; with fewer, no difference would be significant


class DriftChoice:
    """The choice of both counts: by options, by an earlier run, or by the time of a token.

    Prompts get half of the time, and all of it if no chains are run.
    """

    def __init__(self, options: DriftOptions, run: Path | None) -> None:
        self.options = options
        self.prompts = CountChoice("prompts", options.count, run)
        self.chosen_prompts: ChosenCount | None = None
        self.chosen_chains = stored_count(run, "chains") if options.chains is None else None

    @property
    def prompt_count(self) -> int | None:
        """How many prompts are continued; None: all."""
        return self.chosen_prompts.count if self.chosen_prompts else None

    @property
    def chain_count(self) -> int:
        """How many chains of each kind are run."""
        return self.chosen_chains.count if self.chosen_chains else self.options.chains or 0

    def needs_time(self, available: int) -> bool:
        """Return whether a token has to be timed."""
        open_chains = self.options.chains is None and self.chosen_chains is None
        return open_chains or self.prompts.needs_time(available)

    def choose(self, available: int, seconds: float | None, models: int) -> Iterator[CountChosen]:
        """Choose both counts, given the seconds of a token and the number of models."""
        options = self.options
        modes = 2 if options.decoding == "both" else 1
        each = None if seconds is None else seconds * options.tokens * modes * models
        share = 1.0 if options.chains == 0 else 0.5
        chosen = self.prompts.choose(available, each, share=share)
        if chosen:
            self.chosen_prompts = chosen.chosen
            yield chosen
        if self.chosen_chains:
            yield CountChosen(self.chosen_chains, None)
        elif options.chains is None:
            assert seconds is not None
            yield self._choose_chains(seconds, models)

    def _choose_chains(self, seconds: float, models: int) -> CountChosen:
        """Choose the largest number of chains that take at most half of the time, or none."""
        settings = ChainSettings(steps=self.options.steps, level=self.options.level)
        for count in CHAIN_COUNTS:
            tokens = estimate_tokens(replace(settings, count=count))
            if tokens * seconds * models / 2 <= DEFAULT_SECONDS / 2:
                break
        else:
            count = 0
        self.chosen_chains = ChosenCount("chains", count, CHAIN_COUNTS[0])
        each = estimate_tokens(replace(settings, count=1)) * seconds * models / 2
        return CountChosen(self.chosen_chains, each)

    def save(self, folder: RunFolder) -> None:
        """Store the counts that were chosen in a run folder."""
        for chosen in (self.chosen_prompts, self.chosen_chains):
            if chosen:
                chosen.save(folder)
