"""Free-running drift: both models continue the same prompts with the same randomness.

A pair is one prompt continued twice. Along each of the two texts both models are asked about every
next token, so that the loss is known on the reference's path (what single-token measures see) and
on the quant's own (what its user gets).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from zeropoint.checkpoints.runs import RunFolder
from zeropoint.errors import CheckpointError
from zeropoint.metrics.paths import (
    Along,
    Way,
    Writer,
    compare_along,
    read_paths,
    sampling_of,
    write_paths,
)
from zeropoint.models import Written, in_batches

TOGETHER = 24  # prompts that are continued at once


@dataclass(frozen=True)
class Settings:
    """How the prompts are continued."""

    limit: int = 64  # tokens for each prompt
    ways: tuple[Way, ...] = ("greedy", "sampled")
    temperature: float = 1.0
    seed: int = 0
    together: int = TOGETHER


@dataclass(frozen=True)
class Pair:
    """One prompt, continued by both. A token that ends a text is part of it."""

    index: int
    way: Way
    reference: list[int]
    quant: list[int]
    on_reference: Along  # both models along the reference's text
    on_quant: Along  # both along the quant's

    @property
    def split(self) -> int | None:
        """The first token that differs, counted from 0; None if none does."""
        return first_difference(self.reference, self.quant)


@dataclass(frozen=True)
class Drifted:
    """The work has come further: `done` of `total` tokens that both models may write."""

    done: int
    pairs: int


@dataclass
class ReferencePaths:
    """A reference and what it wrote, so that for several quants it writes only once."""

    model: Writer
    written: dict[tuple[Way, int], list[list[int]]] = field(default_factory=dict)


def first_difference(one: Sequence[object], other: Sequence[object]) -> int | None:
    """Return where two sequences part; None if they are equal.

    >>> first_difference("abc", "abd"), first_difference("ab", "abc"), first_difference("a", "a")
    (2, 2, None)
    """
    for step, (first, second) in enumerate(zip(one, other, strict=False)):
        if first != second:
            return step
    return None if len(one) == len(other) else min(len(one), len(other))


class Drift:
    """A reference and a quant on the same prompts: `steps` writes and compares, `pairs` has all.

    `prompts` are token ids; both models must have the same tokens.
    """

    def __init__(
        self,
        reference: ReferencePaths,
        quant: Writer,
        prompts: Sequence[Sequence[int]],
        stops: frozenset[int],
        settings: Settings,
        run: RunFolder | None = None,
    ) -> None:
        self.reference = reference
        self.quant = quant
        self.prompts = prompts
        self.settings = settings
        self.pairs: list[Pair] = []
        self._stops = stops
        self._run = run
        self._groups = in_batches(prompts, settings.together)

    @property
    def total(self) -> int:
        """Tokens that both models write, at most."""
        return 2 * len(self.settings.ways) * len(self.prompts) * self.settings.limit

    def steps(self) -> Iterator[Drifted]:
        """Go through all prompts in every way; each batch is in the run folder when it is done.

        Stopping between two records is safe, and the same run goes on from there. Raises
        MeasurementError for a logit that is not finite.
        """
        self.pairs = []
        kept = self._run.chunks_done() if self._run else 0
        for way in self.settings.ways:
            for number, group in enumerate(self._groups):
                start = len(self.pairs)
                if self._run and start + len(group) <= kept:
                    for place, index in enumerate(group):
                        self.pairs.append(load_pair(self._run, start + place, index, way))
                    written = [pair.reference for pair in self.pairs[start:]]
                    self.reference.written.setdefault((way, number), written)
                else:
                    yield from self._batch(way, number, group)
                    for place in range(len(group) if self._run else 0):
                        assert self._run is not None
                        save_pair(self._run, start + place, self.pairs[start + place])
                yield Drifted(2 * len(self.pairs) * self.settings.limit, len(self.pairs))

    def _batch(self, way: Way, number: int, group: list[int]) -> Iterator[Drifted]:
        """Write and compare one batch; the pairs are appended in the group's order."""
        settings, before = self.settings, 2 * len(self.pairs) * self.settings.limit
        prompts = [self.prompts[index] for index in group]
        samplings = [sampling_of(way, settings.temperature, settings.seed, i) for i in group]

        def write(model: Writer, into: list[Written], offset: int) -> Iterator[Drifted]:
            done = before + offset
            for record in write_paths(
                model, prompts, samplings, limit=settings.limit, stops=self._stops
            ):
                if isinstance(record, Written):
                    into.append(record)
                else:
                    done += len(group)
                    yield Drifted(done, len(self.pairs))
            into.sort(key=lambda text: text.index)

        theirs: list[Written] = []
        if (way, number) not in self.reference.written:
            yield from write(self.reference.model, theirs, 0)
            self.reference.written[way, number] = [text.ids for text in theirs]
        ours: list[Written] = []
        yield from write(self.quant, ours, len(group) * settings.limit)
        self.pairs += self._compare(way, group, self.reference.written[way, number], theirs, ours)

    def _compare(
        self,
        way: Way,
        group: list[int],
        paths: list[list[int]],
        theirs: list[Written],
        ours: list[Written],
    ) -> Iterator[Pair]:
        """Compare along both texts of each prompt; `theirs` is empty where it is not fresh."""
        models = self.reference.model, self.quant
        prompts = [self.prompts[index] for index in group]
        own_paths = [text.ids for text in ours]
        # Read again, the states are the same bits: they need not be kept for the next quant.
        on_reference = (
            [text.states for text in theirs] or read_paths(models[0], prompts, paths),
            read_paths(models[1], prompts, paths),
        )
        on_quant = read_paths(models[0], prompts, own_paths), [text.states for text in ours]
        for place, index in enumerate(group):
            sampling = sampling_of(way, self.settings.temperature, self.settings.seed, index)
            path, own = paths[place], own_paths[place]
            states = on_reference[0][place], on_reference[1][place]
            there = here = compare_along(*models, states, path, "quant", sampling)
            if path != own:
                states = on_quant[0][place], on_quant[1][place]
                here = compare_along(*models, states, own, "reference", sampling)
            yield Pair(index, way, path, own, there, here)


_ARRAYS: tuple[tuple[str, Callable[[Pair], Along]], ...] = (
    ("on_reference", lambda pair: pair.on_reference),
    ("on_quant", lambda pair: pair.on_quant),
)


def save_pair(run: RunFolder, number: int, pair: Pair) -> None:
    """Write one pair: tokens, and kl, nll and same along each of its two paths."""
    arrays = {
        "index": np.array(pair.index),
        "way": np.array(pair.way),
        "reference": np.array(pair.reference, np.int32),
        "quant": np.array(pair.quant, np.int32),
    }
    for name, along_of in _ARRAYS:
        along = along_of(pair)
        arrays |= {
            f"{name}_kl": along.kl,
            f"{name}_nll": along.nll,
            f"{name}_same": along.same,
        }
    run.save_chunk(number, arrays)


def load_pair(run: RunFolder, number: int, index: int, way: Way) -> Pair:
    """Read a pair back. Raises CheckpointError if it is damaged or of another prompt."""
    arrays = run.load_chunk(number)
    where = run.path / "chunks" / f"{number:05}.npz"
    try:
        along = [
            Along(
                arrays[f"{name}_kl"].astype(np.float64).reshape(-1, 2),
                arrays[f"{name}_nll"].astype(np.float64).reshape(-1, 2),
                arrays[f"{name}_same"].astype(bool),
            )
            for name, _ in _ARRAYS
        ]
        pair = Pair(
            int(arrays["index"]),
            way,
            arrays["reference"].astype(int).tolist(),
            arrays["quant"].astype(int).tolist(),
            *along,
        )
        same = pair.index == index and str(arrays["way"]) == way
    except (KeyError, ValueError, TypeError):
        raise CheckpointError(where, "is damaged; delete it to measure it again") from None
    if not same:
        raise CheckpointError(where, "is of another prompt; choose another --run")
    return pair
