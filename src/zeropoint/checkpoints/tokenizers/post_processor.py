"""Reads which tokens tokenizer.json's post-processor adds before and after a single text."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zeropoint.errors import CheckpointError, UnsupportedModel, printable

Json = Mapping[str, object]


@dataclass(frozen=True)
class AddedEnds:
    """The ids that a post-processor adds before and after a text."""

    decides: bool = False  # False: there is no post-processor, and tokenizer_config.json decides
    first: int | None = None
    last: int | None = None


def read_post_processor(path: Path, processor: object) -> AddedEnds:
    """Return what the `post_processor` of the tokenizer.json at `path` adds to a single text.

    GGUF has room for one token before a text and one behind it. Raises UnsupportedModel for a
    processor that adds more or is of another kind, CheckpointError for one that is damaged.
    """
    decides = False
    first: tuple[int, ...] = ()
    last: tuple[int, ...] = ()
    for step in _steps(path, processor):
        kind = step.get("type")
        decides = True
        if kind == "ByteLevel":  # changes offsets only and adds nothing
            continue
        if kind == "TemplateProcessing":
            before, behind = _template(path, step)
        elif kind in ("RobertaProcessing", "BertProcessing"):
            before, behind = (_pair(path, step.get("cls")),), (_pair(path, step.get("sep")),)
        else:
            raise UnsupportedModel(f"{path}: post-processor {kind!r} has no place in GGUF")
        first, last = before + first, last + behind
    if len(first) > 1 or len(last) > 1:
        raise UnsupportedModel(
            f"{path}: the post-processor adds {len(first)} tokens before a text and {len(last)} "
            "behind it; GGUF has room for one of each"
        )
    return AddedEnds(decides, *(first or (None,)), *(last or (None,)))


def _steps(path: Path, processor: object) -> list[Json]:
    if processor is None:
        return []
    if not isinstance(processor, dict):
        raise CheckpointError(path, "is not an object", field="post_processor")
    if processor.get("type") != "Sequence":
        return [processor]
    parts = processor.get("processors")
    if not isinstance(parts, list):
        raise CheckpointError(path, "is a sequence without parts", field="post_processor")
    return [step for part in parts for step in _steps(path, part)]


def _template(path: Path, step: Json) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the ids before and behind the text in the template for a single text."""
    single, special = step.get("single"), step.get("special_tokens")
    if not isinstance(single, list) or not isinstance(special, dict):
        raise CheckpointError(path, "its template is damaged", field="post_processor")
    sides: list[list[int]] = [[]]
    for piece in single:
        named = piece.get("SpecialToken") if isinstance(piece, dict) else None
        if isinstance(named, dict):
            entry = special.get(str(named.get("id")))
            ids = entry.get("ids") if isinstance(entry, dict) else None
            if not isinstance(ids, list) or not all(_is_id(index) for index in ids):
                reason = f"no ids for '{printable(str(named.get('id')))}'"
                raise CheckpointError(path, reason, field="post_processor")
            sides[-1] += ids
        elif isinstance(piece, dict) and "Sequence" in piece:
            sides.append([])
    if len(sides) != 2:
        reason = f"its template has the text {len(sides) - 1} times, not once"
        raise CheckpointError(path, reason, field="post_processor")
    return tuple(sides[0]), tuple(sides[1])


def _pair(path: Path, value: object) -> int:
    """Return the id of a pair of text and id, as Roberta's and Bert's processors have them."""
    if isinstance(value, list) and len(value) == 2 and _is_id(value[1]):
        return int(value[1])
    raise CheckpointError(
        path, "cls and sep must be pairs of a text and an id", field="post_processor"
    )


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
