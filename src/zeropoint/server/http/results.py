"""Parts of answers that several endpoints share: usage, timings, logprobs, identifiers."""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

FINGERPRINT = "zeropoint"


def new_id(prefix: str) -> str:
    """Return an identifier of an answer."""
    return f"{prefix}-{secrets.token_hex(12)}"


def usage_of(ends: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return OpenAI's `usage`; the prompt counts once, and the tokens of every choice."""
    prompt = max((int(end["prompt_tokens"]) for end in ends), default=0)
    completion = sum(int(end["tokens"]) for end in ends)
    cached = max((int(end["cached_tokens"]) for end in ends), default=0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def timings_of(end: Mapping[str, Any]) -> dict[str, Any]:
    """Return llama.cpp's `timings`: tokens, milliseconds, tokens per second."""
    prompt = int(end["prompt_tokens"]) - int(end["cached_tokens"])
    predicted = int(end["tokens"])
    return {
        "cache_n": end["cached_tokens"],
        "prompt_n": prompt,
        "prompt_ms": round(end["prompt_ms"], 3),
        "prompt_per_second": round(1000 * prompt / max(end["prompt_ms"], 1e-3), 3),
        "predicted_n": predicted,
        "predicted_ms": round(end["predicted_ms"], 3),
        "predicted_per_second": round(1000 * predicted / max(end["predicted_ms"], 1e-3), 3),
    }


def chat_logprobs(tokens: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the entries of a chat's `logprobs.content`."""
    return [
        {**_token(token), "top_logprobs": [_token(one) for one in token["top"]]} for token in tokens
    ]


def _token(token: Mapping[str, Any]) -> dict[str, Any]:
    data = bytes(token["bytes"])
    return {
        "token": data.decode("utf-8", "replace"),
        "logprob": token["logprob"],
        "bytes": list(data),
    }


def completion_logprobs(tokens: Sequence[Mapping[str, Any]], offset: int) -> dict[str, Any]:
    """Return the older `logprobs` of a completion; `offset` is where its text begins."""
    result: dict[str, Any] = {
        "tokens": [],
        "token_logprobs": [],
        "top_logprobs": [],
        "text_offset": [],
    }
    for token in tokens:
        entry = _token(token)
        result["tokens"].append(entry["token"])
        result["token_logprobs"].append(entry["logprob"])
        tops = [_token(one) for one in token["top"]]
        result["top_logprobs"].append({one["token"]: one["logprob"] for one in tops})
        result["text_offset"].append(offset)
        offset += len(entry["token"])
    return result


def reason_of(end: Mapping[str, Any]) -> str:
    """Return OpenAI's `finish_reason` of a text that is no call."""
    return "length" if end["reason"] in ("limit", "context") else "stop"
