"""Reads the prompts of `drift`: the user's, or those that come with zeropoint."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.files.user_files import LIST_BYTES, read_user_text
from zeropoint.errors import MeasurementError
from zeropoint.metrics.tasks.user_regex import check_pattern
from zeropoint.models import LanguageModel, encode_messages, has_template
from zeropoint.results.drift import PromptTooLong

BUILT_IN = Path(__file__).with_name("data") / "prompts.jsonl"


@dataclass(frozen=True)
class Prompt:
    """The beginning of a text, or a chat message."""

    prompt: str
    domain: str = ""
    answer: str | None = None  # regular expression whose last match is the answer of a text
    line: int = 0  # of its file, counted from 1


def read_prompts(path: Path | None = None, *, count: int | None = None) -> list[Prompt]:
    """Read prompts: one per line, or one JSON object per line of a .jsonl file.

    Without a path, the built-in prompts are read. An object has the key `prompt`, and may have
    `domain` and `answer`. `count` limits the prompts to that many, evenly spread over the file.
    Raises MeasurementError with the line that cannot be read.
    """
    source = path or BUILT_IN
    text = read_user_text(source, LIST_BYTES, MeasurementError)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if source.suffix == ".jsonl":
        prompts = [
            replace(_parse(line, f"{source}: line {number}"), line=number) for number, line in lines
        ]
    else:
        prompts = [Prompt(line.strip(), line=number) for number, line in lines]
    if not prompts:
        raise MeasurementError(f"{source}: the file has no prompts")
    return spread_prompts(prompts, count)


def spread_prompts(prompts: list[Prompt], count: int | None) -> list[Prompt]:
    """Return at most `count` prompts, evenly spread over the list; None: all of them."""
    if count is None or count >= len(prompts):
        return prompts
    return [prompts[len(prompts) * place // count] for place in range(count)]


def _parse(line: str, where: str) -> Prompt:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MeasurementError(f"{where}: not JSON: {error}") from None
    if not isinstance(fields, dict) or not isinstance(fields.get("prompt"), str):
        raise MeasurementError(f'{where}: expected an object with a text "prompt"')
    prompt = Prompt(fields["prompt"], str(fields.get("domain", "")), fields.get("answer"))
    if not prompt.prompt.strip():
        raise MeasurementError(f"{where}: the prompt is empty")
    try:
        if prompt.answer is not None:
            check_pattern(prompt.answer)
    except ValueError as error:
        raise MeasurementError(f'{where}: "answer" is not a regular expression: {error}') from None
    return prompt


def hash_prompts(prompts: Sequence[Prompt]) -> str:
    """Return the SHA-256 over all prompts, in order."""
    rows = [{"prompt": p.prompt, "domain": p.domain, "answer": p.answer} for p in prompts]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def split_by_length(
    prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], context: int
) -> tuple[list[Prompt], list[PromptTooLong]]:
    """Return the prompts whose token ids fit a context of `context` tokens, and the others.

    Raises MeasurementError if no prompt fits.
    """
    pairs = list(zip(prompts, map(len, ids), strict=True))
    long = [
        PromptTooLong(prompt.line, length, context) for prompt, length in pairs if length > context
    ]
    if len(long) == len(pairs):
        shortest = min(prompt.tokens for prompt in long)
        raise MeasurementError(
            f"no prompt fits the context of {context} tokens: the shortest has {shortest}"
        )
    return [prompt for prompt, length in pairs if length <= context], long


def encode_prompts(
    checkpoint: Checkpoint, model: LanguageModel, texts: Sequence[str], *, chat: bool | None = None
) -> list[list[int]]:
    """Return the token ids of each prompt, as a chat message or as the beginning of a text.

    `chat` None: as a chat message if the model has a chat template.
    """
    tokenizer = model.tokenizer
    if has_template(checkpoint) if chat is None else chat:
        return encode_messages(checkpoint, tokenizer, texts)
    bos = [tokenizer.vocabulary.bos] if tokenizer.adds_bos else []
    return [[*bos, *tokenizer.encode(text)] for text in texts]  # type: ignore[list-item]
