"""Free-running drift: both models continue the same prompts with the same randomness.

A pair is one prompt continued twice. Along each of the two texts both models are asked about every
next token, so that the loss is known on the reference's path (what single-token measures see) and
on the quant's own (what its user gets).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zeropoint.errors import CheckpointError
from zeropoint.formats import F32
from zeropoint.metrics.generation.paired_sampling import (
    Along,
    Way,
    Writer,
    compare_along,
    read_paths,
    sampling_of,
    write_paths,
)
from zeropoint.models import TOGETHER, Written, at_once, in_batches
from zeropoint.models.sequences import common_prefix_length
from zeropoint.results.run_checks import ROUNDING, ArrayRule
from zeropoint.results.run_store import RunFolder

KEPT = 1 << 29  # bytes of the reference's states that are kept for the next quant

Text = tuple[Way, int]  # how, and the prompt's index


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
    written: dict[Text, list[int]] = field(default_factory=dict)
    states: dict[Text, F32] = field(default_factory=dict)  # of some of them

    def keep(self, text: Text, ids: list[int], states: F32) -> None:
        """Keep what was written, and the states that it was chosen from while they are few."""
        self.written[text] = ids
        if sum(kept.nbytes for kept in self.states.values()) + states.nbytes <= KEPT:
            self.states[text] = states


def first_difference(one: Sequence[object], other: Sequence[object]) -> int | None:
    """Return where two sequences part; None if they are equal.

    >>> first_difference("abc", "abd"), first_difference("ab", "abc"), first_difference("a", "a")
    (2, 2, None)
    """
    common = common_prefix_length(one, other)
    return None if common == len(one) == len(other) else common


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
        self._texts: list[Text] = [(way, i) for way in settings.ways for i in range(len(prompts))]
        tokens = max(map(len, prompts), default=1) + settings.limit
        most = at_once(quant, tokens, at_once(reference.model, tokens, settings.together))
        self._groups = in_batches([prompts[index] for _, index in self._texts], most)

    @property
    def total(self) -> int:
        """Tokens that both models write, at most."""
        return 2 * len(self._texts) * self.settings.limit

    def steps(self) -> Iterator[Drifted]:
        """Go through all texts; each batch is in the run folder when it is done.

        Stopping between two records is safe, and the same run goes on from there. Raises
        MeasurementError for a logit that is not finite.
        """
        self.pairs = []
        kept = self._run.chunks_done() if self._run else 0
        for group in self._groups:
            start, texts = len(self.pairs), [self._texts[place] for place in group]
            if self._run and start + len(texts) <= kept:
                for number, text in enumerate(texts, start):
                    pair = load_pair(self._run, number, text, self.quant.vocab_size)
                    self.pairs.append(pair)
                    self.reference.written.setdefault(text, pair.reference)
            else:
                yield from self._batch(texts)
                for number in range(start, len(self.pairs) if self._run else start):
                    assert self._run is not None
                    save_pair(self._run, number, self.pairs[number])
            yield Drifted(2 * len(self.pairs) * self.settings.limit, len(self.pairs))

    def _batch(self, texts: list[Text]) -> Iterator[Drifted]:
        """Write and compare one batch; the pairs are appended in its order."""
        written = self.reference.written
        theirs: list[Written] = []
        unwritten = [text for text in texts if text not in written]
        yield from self._write(self.reference.model, unwritten, theirs, 0)
        for text, record in zip(unwritten, theirs, strict=True):
            self.reference.keep(text, record.ids, record.states)
        ours: list[Written] = []
        yield from self._write(self.quant, texts, ours, len(texts) * self.settings.limit)
        self.pairs += self._compare(texts, ours)

    def _write(
        self, model: Writer, texts: list[Text], into: list[Written], offset: int
    ) -> Iterator[Drifted]:
        """Write texts; `into` has them in their order."""
        if not texts:
            return
        settings = self.settings
        done = 2 * len(self.pairs) * settings.limit + offset
        samplings = [sampling_of(way, settings.temperature, settings.seed, i) for way, i in texts]
        prompts = [self.prompts[index] for _, index in texts]
        for record in write_paths(
            model, prompts, samplings, limit=settings.limit, stops=self._stops
        ):
            if isinstance(record, Written):
                into.append(record)
            else:
                done += len(texts)
                yield Drifted(done, len(self.pairs))
        into.sort(key=lambda text: text.index)

    def _compare(self, texts: list[Text], ours: list[Written]) -> Iterator[Pair]:
        """Compare along both texts of each prompt; where they are the same text, once."""
        reference, quant = self.reference.model, self.quant
        own = {text: record.ids for text, record in zip(texts, ours, strict=True)}
        paths = {text: self.reference.written[text] for text in texts}
        parted = [text for text in texts if own[text] != paths[text]]
        # Read again, states are the same bits: what was not kept is read, what was written is not.
        theirs = self._read(reference, paths, [t for t in texts if t not in self.reference.states])
        theirs |= {text: self.reference.states[text] for text in texts if text not in theirs}
        mine = {text: record.states for text, record in zip(texts, ours, strict=True)}
        beside = mine | self._read(quant, paths, parted)  # the quant along the reference's texts
        led = self._read(reference, own, parted)  # the reference along the quant's
        for text in texts:
            way, index = text
            sampling = sampling_of(way, self.settings.temperature, self.settings.seed, index)
            path, states = paths[text], (theirs[text], beside[text])
            there = here = compare_along(reference, quant, states, path, "quant", sampling)
            if text in led:
                states = led[text], mine[text]
                here = compare_along(reference, quant, states, own[text], "reference", sampling)
            yield Pair(index, way, path, own[text], there, here)

    def _read(
        self, model: Writer, paths: Mapping[Text, list[int]], texts: list[Text]
    ) -> dict[Text, F32]:
        """Return what `model` would choose each token of these texts' paths from."""
        prompts = [self.prompts[index] for _, index in texts]
        states = read_paths(model, prompts, [paths[text] for text in texts])
        return dict(zip(texts, states, strict=True))


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


def pair_rules(vocabulary: int = 1 << 31) -> dict[str, ArrayRule]:
    """Return the rules for the arrays of a pair: two texts, and the figures along each of them."""
    rules = {"index": ArrayRule((), np.integer, 0), "way": ArrayRule((), np.str_)}
    for name in ("reference", "quant"):
        rules |= {
            name: ArrayRule((name,), np.integer, 0, vocabulary - 1),
            f"on_{name}_kl": ArrayRule((name, 2), np.floating, -ROUNDING),
            f"on_{name}_nll": ArrayRule((name, 2), np.floating, -ROUNDING),
            f"on_{name}_same": ArrayRule((name,), np.bool_),
        }
    return rules


def load_pair(run: RunFolder, number: int, text: Text, vocabulary: int) -> Pair:
    """Read a pair back. Raises CheckpointError if it is damaged or of another prompt."""
    way, index = text
    arrays = run.load_chunk(number, pair_rules(vocabulary))
    if int(arrays["index"].item()) != index or str(arrays["way"]) != way:
        raise CheckpointError(run.chunk_path(number), "is of another prompt; choose another --run")
    return Pair(
        index,
        way,
        arrays["reference"].astype(int).tolist(),
        arrays["quant"].astype(int).tolist(),
        *(
            Along(
                arrays[f"{name}_kl"].astype(np.float64),
                arrays[f"{name}_nll"].astype(np.float64),
                arrays[f"{name}_same"].astype(bool),
            )
            for name, _ in _ARRAYS
        ),
    )
