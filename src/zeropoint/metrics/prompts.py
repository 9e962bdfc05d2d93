"""What the models go on with: the user's prompts, or those that come with zeropoint."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import MeasurementError
from zeropoint.models import LanguageModel, encode_messages, has_template

BUILT_IN = Path(__file__).with_name("data") / "prompts.jsonl"


@dataclass(frozen=True)
class Prompt:
    """A beginning, or a message to a model that chats."""

    prompt: str
    domain: str = ""
    answer: str | None = None  # regular expression whose last match is the answer of a text


def read_prompts(path: Path | None = None, *, count: int | None = None) -> list[Prompt]:
    """Read prompts: one a line, or one JSON object a line in a .jsonl file; None: the built-in
    ones.

    An object has `prompt`, and may have `domain` and `answer`. With `count`, so many, taken from
    all over the file. Raises MeasurementError with the line that cannot be read.
    """
    source = path or BUILT_IN
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise MeasurementError(f"{source}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise MeasurementError(f"{source}: byte {error.start}: not UTF-8 text") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if source.suffix == ".jsonl":
        prompts = [_parse(line, f"{source}: line {number}") for number, line in lines]
    else:
        prompts = [Prompt(line.strip()) for _, line in lines]
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
        re.compile(prompt.answer or "")
    except (re.error, TypeError) as error:
        raise MeasurementError(f"{where}: answer is no regular expression: {error}") from None
    return prompt


def hash_prompts(prompts: Sequence[Prompt]) -> str:
    """SHA-256 over all prompts, in order."""
    return hashlib.sha256(json.dumps([asdict(p) for p in prompts]).encode()).hexdigest()


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
