"""What the models go on with: the user's prompts, or those that come with zeropoint."""

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
    """A beginning, or a message to a model that chats."""

    prompt: str
    domain: str = ""
    answer: str | None = None  # regular expression whose last match is the answer of a text
    line: int = 0  # of its file


def read_prompts(path: Path | None = None, *, count: int | None = None) -> list[Prompt]:
    """Read prompts: one a line, or one JSON object a line in a .jsonl file; None: the built-in
    ones.

    An object has `prompt`, and may have `domain` and `answer`. With `count`, so many, taken from
    all over the file. Raises MeasurementError with the line that cannot be read.
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
        raise MeasurementError(f"{source}: there is no prompt in it")
    if count is not None and count < len(prompts):
        prompts = [prompts[len(prompts) * place // count] for place in range(count)]
    return prompts


def _parse(line: str, where: str) -> Prompt:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise MeasurementError(f"{where}: not JSON: {error}") from None
    if not isinstance(found, dict) or not isinstance(found.get("prompt"), str):
        raise MeasurementError(f'{where}: expected an object with a text "prompt"')
    prompt = Prompt(found["prompt"], str(found.get("domain", "")), found.get("answer"))
    if not prompt.prompt.strip():
        raise MeasurementError(f"{where}: the prompt is empty")
    try:
        if prompt.answer is not None:
            check_pattern(prompt.answer)
    except ValueError as error:
        raise MeasurementError(f"{where}: answer is no regular expression: {error}") from None
    return prompt


def hash_prompts(prompts: Sequence[Prompt]) -> str:
    """SHA-256 over all prompts, in order."""
    said = [{"prompt": p.prompt, "domain": p.domain, "answer": p.answer} for p in prompts]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def leave_out_long(
    prompts: Sequence[Prompt], ids: Sequence[Sequence[int]], room: int
) -> tuple[list[Prompt], list[PromptTooLong]]:
    """Part prompts into those whose tokens (`ids`) fit a context of `room`, and those that do not.

    Raises MeasurementError if none fits.
    """
    pairs = list(zip(prompts, map(len, ids), strict=True))
    long = [PromptTooLong(prompt.line, length, room) for prompt, length in pairs if length > room]
    if len(long) == len(pairs):
        least = min(one.tokens for one in long)
        raise MeasurementError(
            f"no prompt fits the context of {room} tokens: the shortest has {least}"
        )
    return [prompt for prompt, length in pairs if length <= room], long


def encode_prompts(
    checkpoint: Checkpoint, model: LanguageModel, texts: Sequence[str], *, chat: bool | None = None
) -> list[list[int]]:
    """Return the tokens of each prompt: as a message where the model chats, else as a beginning.

    `chat`: None means if the file has a chat template.
    """
    tokenizer = model.tokenizer
    if has_template(checkpoint) if chat is None else chat:
        return encode_messages(checkpoint, tokenizer, texts)
    bos = [tokenizer.vocabulary.bos] if tokenizer.adds_bos else []
    return [[*bos, *tokenizer.encode(text)] for text in texts]  # type: ignore[list-item]
