"""Free-running generation: both models continue the same prompts with the same randomness.

A pair is one prompt, continued by both models. Both models are then scored at every token of both
texts. So the loss is known along the reference's text, which single-token measures see, and along
the quantized model's own text, which its user gets.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from zeropoint.errors import CheckpointError
from zeropoint.formats import F32
from zeropoint.metrics.generation.paired_sampling import (
    DecodingMode,
    GeneratingModel,
    TeacherForced,
    generate_texts,
    sampling_for,
    score_teacher_forced,
    states_along,
)
from zeropoint.metrics.statistics import wilson
from zeropoint.models import MAX_BATCH_SEQUENCES, CompletedText, fitting_batch_size, in_batches
from zeropoint.models.sequences import common_prefix_length
from zeropoint.results.run_checks import ROUNDING, ArrayRule
from zeropoint.results.run_store import RunFolder

STATES_BUDGET_BYTES = 1 << 29  # of the reference's hidden states, cached for the next model

TextKey = tuple[DecodingMode, int]  # identifies a text: how it was decoded, index of the prompt


@dataclass(frozen=True)
class FreeRunSettings:
    """Settings with which the prompts are continued."""

    max_tokens: int = 64  # generated for each prompt
    modes: tuple[DecodingMode, ...] = ("greedy", "sampled")
    temperature: float = 1.0  # of the sampled texts
    seed: int = 0
    batch_size: int = MAX_BATCH_SEQUENCES  # texts that are generated at once, if their caches fit


@dataclass(frozen=True)
class ContinuationPair:
    """One prompt, continued by both models. A token that ends a text is part of it."""

    index: int  # of the prompt
    mode: DecodingMode
    reference: list[int]  # token ids
    quant: list[int]
    on_reference: TeacherForced  # both models along the reference's text
    on_quant: TeacherForced  # both models along the quantized model's text

    @property
    def divergence_step(self) -> int | None:
        """The first token that differs, counted from 0; None if the texts are identical."""
        return first_difference(self.reference, self.quant)


@dataclass(frozen=True)
class FreeRunProgress:
    """Progress of the generation."""

    done: int  # tokens, of the maximum that both models may generate
    pairs: int  # complete pairs
    diverged: int | None = None  # how many of them diverge; None if they are not compared yet

    @property
    def summary(self) -> str:
        """The share of texts that diverge, for a generation that is interrupted."""
        if self.diverged is None or not self.pairs:
            return f"{self.pairs} texts are complete"
        rate = wilson(self.diverged, self.pairs)
        return (
            f"{self.diverged} of {self.pairs} pairs of texts diverge"
            f" ({rate.low:.0%} … {rate.high:.0%}, 95 % interval)"
        )


@dataclass
class ReferenceTexts:
    """A reference and the texts that it has generated, which several quantized models share."""

    model: GeneratingModel
    texts: dict[TextKey, list[int]] = field(default_factory=dict)
    states: dict[TextKey, F32] = field(default_factory=dict)  # of as many texts as fit

    def add(self, key: TextKey, ids: list[int], states: F32) -> None:
        """Add a text, and the hidden states of its tokens if they fit STATES_BUDGET_BYTES."""
        self.texts[key] = ids
        if sum(s.nbytes for s in self.states.values()) + states.nbytes <= STATES_BUDGET_BYTES:
            self.states[key] = states


def first_difference(one: Sequence[object], other: Sequence[object]) -> int | None:
    """Return the index at which two sequences diverge; None if they are equal.

    >>> first_difference("abc", "abd"), first_difference("ab", "abc"), first_difference("a", "a")
    (2, 2, None)
    """
    common = common_prefix_length(one, other)
    return None if common == len(one) == len(other) else common


class PairedGeneration:
    """Continues the same prompts with a reference and a quantized model, and scores both.

    `prompts` are lists of token ids; both models must have the same tokens. Iterate over `run()`;
    `pairs` then has every pair.
    """

    def __init__(
        self,
        reference: ReferenceTexts,
        quant: GeneratingModel,
        prompts: Sequence[Sequence[int]],
        stops: frozenset[int],
        settings: FreeRunSettings,
        folder: RunFolder | None = None,
    ) -> None:
        self.reference = reference
        self.quant = quant
        self.prompts = prompts
        self.settings = settings
        self.pairs: list[ContinuationPair] = []
        self._stops = stops
        self._folder = folder
        self._keys: list[TextKey] = [
            (mode, i) for mode in settings.modes for i in range(len(prompts))
        ]
        tokens = max(map(len, prompts), default=1) + settings.max_tokens
        batch_size = fitting_batch_size(reference.model, tokens, settings.batch_size)
        batch_size = fitting_batch_size(quant, tokens, batch_size)
        self._groups = in_batches([prompts[index] for _, index in self._keys], batch_size)

    @property
    def total(self) -> int:
        """The maximum number of tokens that both models generate."""
        return 2 * len(self._keys) * self.settings.max_tokens

    def run(self) -> Iterator[FreeRunProgress]:
        """Generate and score all texts; each batch is stored in the run folder when it is complete.

        Stopping between two records is safe, and the same run continues. Raises MeasurementError
        for a logit that is not finite.
        """
        self.pairs = []
        stored = self._folder.chunks_done() if self._folder else 0
        for group in self._groups:
            start, keys = len(self.pairs), [self._keys[place] for place in group]
            if self._folder and start + len(keys) <= stored:
                for number, key in enumerate(keys, start):
                    pair = load_pair(self._folder, number, key, self.quant.vocab_size)
                    self.pairs.append(pair)
                    self.reference.texts.setdefault(key, pair.reference)
            else:
                yield from self._batch(keys)
                if self._folder:
                    for number in range(start, len(self.pairs)):
                        save_pair(self._folder, number, self.pairs[number])
            yield self._progress(2 * len(self.pairs) * self.settings.max_tokens)

    def _progress(self, done: int) -> FreeRunProgress:
        diverged = sum(pair.divergence_step is not None for pair in self.pairs)
        return FreeRunProgress(done, len(self.pairs), diverged)

    def _batch(self, keys: list[TextKey]) -> Iterator[FreeRunProgress]:
        """Generate and score one batch; append its pairs in order."""
        missing = [key for key in keys if key not in self.reference.texts]
        reference_texts: list[CompletedText] = []
        yield from self._generate(self.reference.model, missing, reference_texts, 0)
        for key, text in zip(missing, reference_texts, strict=True):
            self.reference.add(key, text.ids, text.states)
        quant_texts: list[CompletedText] = []
        offset = len(keys) * self.settings.max_tokens
        yield from self._generate(self.quant, keys, quant_texts, offset)
        self.pairs += self._score(keys, quant_texts)

    def _generate(
        self, model: GeneratingModel, keys: list[TextKey], texts: list[CompletedText], offset: int
    ) -> Iterator[FreeRunProgress]:
        """Generate texts, and append them to `texts` in the order of `keys`."""
        if not keys:
            return
        settings = self.settings
        done = 2 * len(self.pairs) * settings.max_tokens + offset
        samplings = [
            sampling_for(mode, settings.temperature, settings.seed, index) for mode, index in keys
        ]
        prompts = [self.prompts[index] for _, index in keys]
        for record in generate_texts(
            model, prompts, samplings, max_tokens=settings.max_tokens, stops=self._stops
        ):
            if isinstance(record, CompletedText):
                texts.append(record)
            else:
                done += len(keys)
                yield self._progress(done)
        texts.sort(key=lambda text: text.index)

    def _score(
        self, keys: list[TextKey], quant_texts: list[CompletedText]
    ) -> Iterator[ContinuationPair]:
        """Score both models along both texts of each prompt; identical texts are scored once."""
        reference, quant = self.reference.model, self.quant
        own = {key: text.ids for key, text in zip(keys, quant_texts, strict=True)}
        own_states = {key: text.states for key, text in zip(keys, quant_texts, strict=True)}
        reference_texts = {key: self.reference.texts[key] for key in keys}
        diverged = [key for key in keys if own[key] != reference_texts[key]]
        # Hidden states are deterministic: compute only those that are not cached from generation.
        cached = self.reference.states
        missing = [key for key in keys if key not in cached]
        reference_states = self._states(reference, reference_texts, missing)
        reference_states |= {key: cached[key] for key in keys if key in cached}
        quant_on_reference_text = own_states | self._states(quant, reference_texts, diverged)
        reference_on_quant_text = self._states(reference, own, diverged)
        settings = self.settings
        for key in keys:
            mode, index = key
            sampling = sampling_for(mode, settings.temperature, settings.seed, index)
            states = reference_states[key], quant_on_reference_text[key]
            on_reference = on_quant = score_teacher_forced(
                reference, quant, states, reference_texts[key], "quant", sampling
            )
            if key in reference_on_quant_text:
                states = reference_on_quant_text[key], own_states[key]
                on_quant = score_teacher_forced(
                    reference, quant, states, own[key], "reference", sampling
                )
            texts = reference_texts[key], own[key]
            yield ContinuationPair(index, mode, *texts, on_reference, on_quant)

    def _states(
        self, model: GeneratingModel, texts: Mapping[TextKey, list[int]], keys: list[TextKey]
    ) -> dict[TextKey, F32]:
        """Return the hidden states of `model` before each token of these texts."""
        prompts = [self.prompts[index] for _, index in keys]
        states = states_along(model, prompts, [texts[key] for key in keys])
        return dict(zip(keys, states, strict=True))


_SCORES: tuple[tuple[str, Callable[[ContinuationPair], TeacherForced]], ...] = (
    ("on_reference", lambda pair: pair.on_reference),
    ("on_quant", lambda pair: pair.on_quant),
)


def save_pair(folder: RunFolder, number: int, pair: ContinuationPair) -> None:
    """Store one pair: the tokens, and kl, nll and same along each of its two texts."""
    arrays = {
        "index": np.array(pair.index),
        "way": np.array(pair.mode),
        "reference": np.array(pair.reference, np.int32),
        "quant": np.array(pair.quant, np.int32),
    }
    for name, scores_of in _SCORES:
        scores = scores_of(pair)
        arrays |= {
            f"{name}_kl": scores.kl,
            f"{name}_nll": scores.nll,
            f"{name}_same": scores.same,
        }
    folder.save_chunk(number, arrays)


def pair_rules(vocabulary: int = 1 << 31) -> dict[str, ArrayRule]:
    """Return the rules that the stored arrays of a pair must satisfy."""
    rules = {"index": ArrayRule((), np.integer, 0), "way": ArrayRule((), np.str_)}
    for name in ("reference", "quant"):
        rules |= {
            name: ArrayRule((name,), np.integer, 0, vocabulary - 1),
            f"on_{name}_kl": ArrayRule((name, 2), np.floating, -ROUNDING),
            f"on_{name}_nll": ArrayRule((name, 2), np.floating, -ROUNDING),
            f"on_{name}_same": ArrayRule((name,), np.bool_),
        }
    return rules


def load_pair(folder: RunFolder, number: int, key: TextKey, vocabulary: int) -> ContinuationPair:
    """Load a stored pair. Raises CheckpointError if it is damaged or belongs to another prompt."""
    mode, index = key
    arrays = folder.load_chunk(number, pair_rules(vocabulary))
    if int(arrays["index"].item()) != index or str(arrays["way"]) != mode:
        raise CheckpointError(
            folder.chunk_path(number),
            "belongs to another prompt; choose another run folder (--run)",
        )
    return ContinuationPair(
        index,
        mode,
        arrays["reference"].astype(int).tolist(),
        arrays["quant"].astype(int).tolist(),
        *(
            TeacherForced(
                arrays[f"{name}_kl"].astype(np.float64),
                arrays[f"{name}_nll"].astype(np.float64),
                arrays[f"{name}_same"].astype(bool),
            )
            for name, _ in _SCORES
        ),
    )
