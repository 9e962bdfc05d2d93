"""`generate`: text from one model, or from two models with the same prompt and seed."""

import hashlib
import resource
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Literal

import numpy as np

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.metrics.generation.divergence_point import first_difference
from zeropoint.models import (
    Finished,
    PromptRead,
    Sampling,
    Token,
    encode_chat,
    has_template,
    load_model,
    room_for,
)
from zeropoint.models import generate as generate_tokens
from zeropoint.models.speculation import DraftedModel, draft_maker
from zeropoint.results.generate import (
    DraftProof,
    DraftUse,
    GeneratedText,
    GenerateResult,
    GenerationComparison,
    GenerationSpeed,
)
from zeropoint.verbs.loaded_model import ModelInput, checkpoint_of, with_kv_cache
from zeropoint.verbs.options.generate import GenerateOptions
from zeropoint.verbs.records import OnRecord, StageStarted, drain

LONG_PROMPT_TOKENS = 512  # a longer prompt is a stage with its own progress


@dataclass(frozen=True)
class TextPiece:
    """A piece of generated text, never half a character. It may be empty."""

    place: int  # 0: of the model, 1: of the other model
    text: str


@dataclass(frozen=True)
class TextFinished:
    """The text of one model is complete."""

    place: int
    text: GeneratedText


@dataclass(frozen=True)
class TokenRepeated:
    """This many tokens were generated again, without guesses."""

    done: int


TextRecord = StageStarted | PromptRead | TextPiece | TextFinished
GenerateRecord = TextRecord | TokenRepeated | GenerateResult


def generate(
    model: ModelInput,
    prompt: str,
    *,
    versus: ModelInput | None = None,
    tokens: int = 512,
    greedy: bool = False,
    temperature: float = 0.8,
    top_k: int = 40,
    top_p: float = 0.95,
    min_p: float = 0.05,
    repeat_penalty: float = 1.0,
    seed: int = 0,
    chat: bool | None = None,
    system: str | None = None,
    context: int | None = None,
    kv: str = "f32",
    kv_rotation: bool = True,
    mode: Literal["exact", "fast"] = "fast",
    device: str = "cpu",
    draft: str = "off",
    prove: bool = False,
    threads: int | None = None,
    progress: OnRecord | None = None,
) -> GenerateResult:
    """Answer or continue a prompt. `versus` is another model for the same prompt and seed.

    `GenerateOptions` explains the options. Raises MeasurementError for options out of range,
    and CheckpointError or UnsupportedModel for a model that cannot be run, or a prompt that does
    not fit its context.
    """
    options = GenerateOptions(
        tokens=tokens,
        greedy=greedy,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        min_p=min_p,
        repeat_penalty=repeat_penalty,
        seed=seed,
        chat=chat,
        system=system,
        context=context,
        kv=kv,
        kv_rotation=kv_rotation,
        mode=mode,
        device=device,
        draft=draft,
        prove=prove,
        threads=threads,
    )
    models = [model] if versus is None else [model, versus]
    return drain(generate_records(models, prompt, options), GenerateResult, progress)


class TextGenerator:
    """A loaded model, and how it generates text."""

    def __init__(self, model: ModelInput, options: GenerateOptions) -> None:
        self.options = options
        self.sampling = sampling_of(options)
        self.checkpoint = checkpoint_of(model)
        self.name = str(model if isinstance(model, str | Path) else self.checkpoint.path)
        if isinstance(model, str | Path | Checkpoint):
            model = load_model(
                self.checkpoint,
                mode=options.mode,
                threads=options.threads,
                engine="compiled" if options.device == "cpu" else "torch",
                device=options.device,
            )
        self.model = with_kv_cache(model, options.kv, rotated=options.kv_rotation)
        self.model.mode = options.mode
        self.drafts = draft_maker(options.draft, self.model)

    def records(self, prompt: str, place: int = 0) -> Iterator[TextRecord]:
        """Generate a text; the last record is the whole text."""
        ids = self._encode(prompt)
        limit = self.options.tokens
        cache = room_for(self.model, len(ids), limit, self.options.context)
        draft = self.drafts and self.drafts(ids, self.sampling, cache.capacity)
        is_long = len(ids) > LONG_PROMPT_TOKENS
        if is_long:
            yield StageStarted("processing the prompt", len(ids))
        tokens: list[int] = []
        text = ""
        for record in generate_tokens(
            DraftedModel(self.model, draft), ids, limit=limit, sampling=self.sampling, cache=cache
        ):
            if isinstance(record, PromptRead):
                if is_long:
                    yield record
                continue
            text += record.text
            yield TextPiece(place, record.text)
            if isinstance(record, Token):
                tokens.append(record.id)
            else:
                yield TextFinished(place, self._text(text, tokens, record))

    def repeat(self, prompt: str, tokens: Sequence[int]) -> Iterator[TokenRepeated | DraftProof]:
        """Generate a text again, without guesses, and compare its tokens with these."""
        again: list[int] = []
        ids = self._encode(prompt)
        cache = room_for(self.model, len(ids), self.options.tokens, self.options.context)
        for record in generate_tokens(
            self.model, ids, limit=self.options.tokens, sampling=self.sampling, cache=cache
        ):
            if isinstance(record, Token):
                again.append(record.id)
                yield TokenRepeated(len(again))
            elif isinstance(record, Finished):
                yield DraftProof(
                    sha256_with_guesses=hash_of_tokens(tokens),
                    sha256_without_guesses=hash_of_tokens(again),
                    tokens_per_second_without_guesses=speed_of(record).generation_tokens_per_second,
                )

    def _encode(self, prompt: str) -> list[int]:
        """Return the tokens of a chat message, or of the beginning of a text."""
        tokenizer, chat = self.model.tokenizer, self.options.chat
        if has_template(self.checkpoint) if chat is None else chat:
            messages = [{"role": "user", "content": prompt}]
            if self.options.system:
                messages.insert(0, {"role": "system", "content": self.options.system})
            return encode_chat(self.checkpoint, tokenizer, messages)
        ids = tokenizer.encode(prompt, ends=True)
        if tokenizer.adds_eos:
            ids.pop()
        return ids

    def _text(self, text: str, tokens: list[int], finished: Finished) -> GeneratedText:
        counts, drafts = finished.drafts, None
        if counts:
            drafts = DraftUse(
                draft=self.options.draft,
                passes=counts.passes,
                guessed_tokens=counts.proposed,
                accepted_tokens=counts.accepted,
            )
        return GeneratedText(
            model=self.name,
            text=text,
            tokens=tuple(tokens),
            speed=speed_of(finished),
            drafts=drafts,
        )


def hash_of_tokens(tokens: Sequence[int]) -> str:
    """Return the SHA-256 of token ids as little-endian 32-bit integers."""
    return hashlib.sha256(np.asarray(tokens, "<i4").tobytes()).hexdigest()


def sampling_of(options: GenerateOptions) -> Sampling:
    """Return how tokens are sampled. Raises MeasurementError for a number out of range."""
    try:
        return Sampling(
            temperature=0.0 if options.greedy else options.temperature,
            top_k=options.top_k,
            top_p=options.top_p,
            min_p=options.min_p,
            repeat_penalty=options.repeat_penalty,
            seed=options.seed,
        )
    except ValueError as error:
        raise MeasurementError(str(error)) from None


def speed_of(finished: Finished) -> GenerationSpeed:
    """Return the speed of a finished generation."""
    return GenerationSpeed(
        prompt_tokens=finished.prompt_tokens,
        generated_tokens=finished.tokens,
        stopped_by=finished.reason,
        prompt_tokens_per_second=finished.prompt_tokens / max(finished.prompt_seconds, 1e-9),
        generation_tokens_per_second=max(finished.tokens - 1, 0) / max(finished.seconds, 1e-9),
    )


def generate_records(
    models: Sequence[ModelInput],
    prompt: str,
    options: GenerateOptions,
    *,
    interleaved: bool = False,
) -> Iterator[GenerateRecord]:
    """Generate with one or two models; yield the text piece by piece, and the result last.

    The second model begins after the first one or, if `interleaved`, they take turns token by
    token.
    """
    generators = [TextGenerator(model, options) for model in models]
    streams = [generator.records(prompt, place) for place, generator in enumerate(generators)]
    texts: dict[int, GeneratedText] = {}
    for record in _in_turns(streams) if interleaved else chain.from_iterable(streams):
        yield record
        if isinstance(record, TextFinished):
            texts[record.place] = record.text
    comparison = None
    if len(texts) > 1:
        difference = first_difference(texts[0].tokens, texts[1].tokens)
        comparison = GenerationComparison(vs=texts[1], first_difference=difference)
    proof: DraftProof | None = None
    if options.prove:
        yield StageStarted("again without guesses", len(texts[0].tokens), unit="tokens")
        for step in generators[0].repeat(prompt, texts[0].tokens):
            if isinstance(step, DraftProof):
                proof = step
            else:
                yield step
    yield GenerateResult(
        **vars(texts[0]),
        seed=options.seed,
        peak_memory_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        comparison=comparison,
        proof=proof,
    )


def _in_turns(streams: Sequence[Iterator[TextRecord]]) -> Iterator[TextRecord]:
    """Yield one record of every stream in turn, until all of them end."""
    for records in zip_longest(*streams):
        yield from (record for record in records if record is not None)
