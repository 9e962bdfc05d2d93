"""`POST /v1/completions`: text that continues a prompt, or fills the gap before a suffix."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from zeropoint.server.http.errors import ApiError, bad
from zeropoint.server.http.fields import Fields, token_ids
from zeropoint.server.http.results import (
    FINGERPRINT,
    completion_logprobs,
    new_id,
    reason_of,
    timings_of,
    usage_of,
)
from zeropoint.server.http.settings import read_format, read_settings

DEFAULT_TOKENS = 16  # as in OpenAI's API
MAX_TOP_TOKENS = 5
Event = Mapping[str, Any]


@dataclass
class CompletionRequest:
    """A request of one or more prompts, `choices` texts for each."""

    works: list[dict[str, Any]]
    model: str
    echoes: list[str]  # the prompt of each text, if it is to be repeated
    stream: bool
    include_usage: bool
    logprobs: bool


def read_completion(values: Mapping[str, Any], facts: Mapping[str, Any]) -> CompletionRequest:
    """Return a checked request. Raises ApiError that names the field."""
    fields = Fields(values)
    settings = read_settings(fields)
    limits = [fields.integer(name, -1) for name in ("max_tokens", "n_predict")]
    settings["limit"] = next((one for one in limits if one is not None), DEFAULT_TOKENS)
    settings["grammar"] = read_format(fields)
    top = fields.integer("logprobs", 0, MAX_TOP_TOKENS)
    settings["top"] = top
    choices = fields.integer("n", 1, int(facts["slots"])) or 1
    best = fields.integer("best_of", 1)
    if best is not None and best > choices:
        raise bad("best_of", "best_of greater than n is not supported")
    prompts = _prompts(fields)
    suffix = fields.text("suffix")
    if suffix is not None:
        if not facts["infill"]:
            raise bad("suffix", "suffix needs a model with tokens for filling in the middle")
        if any(prompt["kind"] != "text" for prompt in prompts):
            raise bad("suffix", "suffix needs a prompt that is a string")
        prompts = [
            {"kind": "infill", "prefix": prompt["text"], "suffix": suffix} for prompt in prompts
        ]
    echo = fields.boolean("echo")
    if echo and (top is not None or suffix is not None or any("ids" in one for one in prompts)):
        raise ApiError(501, "echo is supported for prompts of text without logprobs", param="echo")
    works = [
        {**settings, "prompt": prompt, "sampling": _seeded(settings["sampling"], choice)}
        for prompt in prompts
        for choice in range(choices)
    ]
    if len(works) > int(facts["slots"]):
        raise bad("prompt", f"this server generates at most {facts['slots']} texts at a time")
    options = Fields(fields.mapping("stream_options") or {}, "stream_options.")
    return CompletionRequest(
        works=works,
        model=fields.text("model") or str(facts["name"]),
        echoes=[str(work["prompt"].get("text", "")) if echo else "" for work in works],
        stream=fields.boolean("stream"),
        include_usage=options.boolean("include_usage"),
        logprobs=top is not None,
    )


def _seeded(sampling: Mapping[str, Any], choice: int) -> dict[str, Any]:
    """Return the sampling of one choice: each has a seed of its own."""
    return {**sampling, "seed": (int(sampling["seed"]) + choice) % 2**64}


def _prompts(fields: Fields) -> list[dict[str, Any]]:
    value = fields.values.get("prompt")
    if isinstance(value, str):
        return [{"kind": "text", "text": value}]
    if not isinstance(value, list) or not value:
        raise bad("prompt", "prompt must be a string, an array of strings, or token ids")
    if all(isinstance(one, str) for one in value):
        return [{"kind": "text", "text": one} for one in value]
    if all(isinstance(one, list) for one in value):
        return [{"kind": "tokens", "ids": token_ids(one, "prompt")} for one in value]
    return [{"kind": "tokens", "ids": token_ids(value, "prompt")}]


class CompletionAnswer:
    """Collects the events of a completion and writes OpenAI's objects."""

    def __init__(self, request: CompletionRequest) -> None:
        self.request = request
        self._id = new_id("cmpl")
        self._created = int(time.time())
        self._texts = list(request.echoes)
        self._tokens: list[list[Mapping[str, Any]]] = [[] for _ in request.works]
        self._ends: list[dict[str, Any]] = [{} for _ in request.works]

    def collect(self, index: int, event: Event) -> None:
        """Take an event of an answer that is sent whole."""
        if event["type"] == "text":
            self._texts[index] += event["text"]
            self._tokens[index] += event.get("tokens", ())
        elif event["type"] == "end":
            self._ends[index] = dict(event)

    def body(self) -> dict[str, Any]:
        """Return the `text_completion` object."""
        choices = []
        for index, (text, tokens, end) in enumerate(
            zip(self._texts, self._tokens, self._ends, strict=True)
        ):
            logprobs = completion_logprobs(tokens, 0) if self.request.logprobs else None
            choices.append(_choice(index, text, logprobs, reason_of(end)))
        return {
            **self._frame(),
            "choices": choices,
            "usage": usage_of(self._ends),
            "timings": timings_of(self._ends[0]),
        }

    def chunks(self, index: int, event: Event) -> list[dict[str, Any]]:
        """Return the chunks of an event."""
        offset = len(self._texts[index])
        self.collect(index, event)
        match event["type"]:
            case "begin":
                echo = self.request.echoes[index]
                return [self._chunk(_choice(index, echo, None, None))] if echo else []
            case "text":
                tokens = event.get("tokens", ())
                logprobs = completion_logprobs(tokens, offset) if self.request.logprobs else None
                return [self._chunk(_choice(index, event["text"], logprobs, None))]
            case "end":
                chunks = [self._chunk(_choice(index, "", None, reason_of(event)))]
                if all(self._ends) and self.request.include_usage:
                    chunks.append({**self._frame(), "choices": [], "usage": usage_of(self._ends)})
                return chunks
        return []

    def _frame(self) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": "text_completion",
            "created": self._created,
            "model": self.request.model,
            "system_fingerprint": FINGERPRINT,
        }

    def _chunk(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._frame(), "choices": [choice]}


def _choice(
    index: int, text: str, logprobs: Mapping[str, Any] | None, reason: str | None
) -> dict[str, Any]:
    return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": reason}
