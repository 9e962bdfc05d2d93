"""llama.cpp's own endpoints for text: `POST /completion` and `POST /infill`."""

from collections.abc import Mapping
from typing import Any

from zeropoint.server.http.errors import ApiError, bad
from zeropoint.server.http.fields import Fields, token_ids
from zeropoint.server.http.results import chat_logprobs, timings_of
from zeropoint.server.http.settings import MAX_TOP_TOKENS, read_format, read_settings

_STOP_TYPES = {"stop": "eos", "word": "word", "limit": "limit", "context": "limit"}
Event = Mapping[str, Any]


def read_native(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the work of a request to `/completion`. Raises ApiError that names the field."""
    fields = Fields(values)
    work = _settings(fields)
    value = fields.values.get("prompt")
    if isinstance(value, str):
        work["prompt"] = {"kind": "text", "text": value}
    elif isinstance(value, list) and value:
        work["prompt"] = {"kind": "tokens", "ids": token_ids(value, "prompt")}
    else:
        raise bad("prompt", "prompt must be a string or an array of token ids")
    return work


def read_infill(values: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the work of a request to `/infill`. Raises ApiError that names the field."""
    if not facts["infill"]:
        raise ApiError(501, "this model has no tokens for filling in the middle")
    fields = Fields(values)
    work = _settings(fields)
    if "input_prefix" not in fields and "input_suffix" not in fields:
        raise bad("input_prefix", "input_prefix and input_suffix are missing")
    extra = []
    for at, file in enumerate(fields.sequence("input_extra") or []):
        inner = Fields(file if isinstance(file, dict) else {}, f"input_extra[{at}].")
        text = inner.text("text")
        if text is None:
            raise bad(f"input_extra[{at}].text", f"input_extra[{at}].text must be a string")
        extra.append({"filename": inner.text("filename") or "file", "text": text})
    work["prompt"] = {
        "kind": "infill",
        "prefix": fields.text("input_prefix", ""),
        "suffix": fields.text("input_suffix", ""),
        "begun": fields.text("prompt", ""),
        "extra": extra,
    }
    return work


def _settings(fields: Fields) -> dict[str, Any]:
    work = read_settings(fields)
    limit = fields.integer("n_predict", -1)
    work["limit"] = -1 if limit is None else limit
    work["grammar"] = read_format(fields)
    top = fields.integer("n_probs", 0, MAX_TOP_TOKENS)
    work["top"] = top or None
    return work


class NativeAnswer:
    """Collects the events of one text and writes llama.cpp's objects."""

    def __init__(self, work: Mapping[str, Any], model: str) -> None:
        self._work = work
        self._model = model
        self._text = ""
        self._tokens: list[Mapping[str, Any]] = []
        self._end: dict[str, Any] = {}

    def collect(self, index: int, event: Event) -> None:
        """Take an event of an answer that is sent whole."""
        if event["type"] == "text":
            self._text += event["text"]
            self._tokens += event.get("tokens", ())
        elif event["type"] == "end":
            self._end = dict(event)

    def body(self) -> dict[str, Any]:
        """Return the object of the whole text."""
        return {**self._last(), "content": self._text, **self._probabilities(self._tokens)}

    def chunks(self, index: int, event: Event) -> list[dict[str, Any]]:
        """Return the objects of an event; `stop` is true in the last one."""
        self.collect(index, event)
        if event["type"] == "text":
            tokens = event.get("tokens", ())
            return [{"content": event["text"], "stop": False, **self._probabilities(tokens)}]
        if event["type"] == "end":
            return [{**self._last(), "content": ""}]
        return []

    def _probabilities(self, tokens: Any) -> dict[str, Any]:
        return {"completion_probabilities": chat_logprobs(tokens)} if self._work["top"] else {}

    def _last(self) -> dict[str, Any]:
        end = self._end
        sampling = self._work["sampling"]
        return {
            "index": 0,
            "tokens": end["ids"],
            "stop": True,
            "stop_type": _STOP_TYPES[end["reason"]],
            "stopping_word": end["stop"],
            "truncated": False,
            "model": self._model,
            "tokens_predicted": end["tokens"],
            "tokens_evaluated": end["prompt_tokens"],
            "tokens_cached": end["prompt_tokens"] + end["tokens"],
            "timings": timings_of(end),
            "generation_settings": {**sampling, "n_predict": self._work["limit"]},
        }
