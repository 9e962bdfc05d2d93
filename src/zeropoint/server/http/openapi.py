"""The OpenAPI description of the server: `GET /openapi.json`.

It says what the readers of requests accept, in the same bounds. Fields that are not described are
ignored. A field that is null counts as absent.
"""

from collections.abc import Mapping
from typing import Any

from zeropoint._version import __version__
from zeropoint.server.http.chat_request import MAX_TOOLS, ROLES
from zeropoint.server.http.completions import MAX_TOP_TOKENS as MAX_COMPLETION_TOP_TOKENS
from zeropoint.server.http.fields import MAX_SAFE_INTEGER
from zeropoint.server.http.settings import MAX_BIASES, MAX_STOPS, MAX_TOP_TOKENS

Schema = dict[str, Any]
ERRORS = {
    400: "A field is missing, wrong or out of range, or the prompt exceeds the context.",
    401: "The key is missing or wrong.",
    403: "The Host or Origin header is not allowed.",
    404: "There is no such endpoint or model.",
    405: "The endpoint has another method.",
    413: "The body is too large.",
    415: "The Content-Type is not application/json.",
    500: "The model's logits are not finite: its file is damaged.",
    501: "The model or the server lacks what is asked for.",
    503: "The model is loading, all slots are busy, or the engine has failed.",
}


def describe_api(slots: int) -> Schema:
    """Return the description of a server with this many slots."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "zeropoint serve",
            "version": __version__,
            "description": "The APIs of OpenAI, llama.cpp and Anthropic for one local model. Every"
            " path works with and without /v1.",
        },
        "paths": _paths(slots),
        "components": {
            "schemas": {"Error": _ERROR, "Messages": _messages(), "Object": {"type": "object"}},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-Api-Key"},
            },
        },
        "security": [{}, {"bearer": []}, {"key": []}],
    }


def _paths(slots: int) -> Schema:
    """Return the operations by path and method."""
    text, stream = _answer("The whole text."), _answer("The whole text, or events.", stream=True)
    ids = {"type": "array", "items": {"type": "integer", "minimum": 0}}
    prompts = {"anyOf": [{"type": "string"}, {**ids, "minItems": 1}, *_several(ids)]}
    gets = {
        "/health": "Whether requests are served now.",
        "/v1/models": "The model, in a list of one.",
        "/props": "What the server is, as llama.cpp describes it.",
        "/openapi.json": "This description.",
    }
    posts = {
        "/v1/chat/completions": (_chat(slots), stream),
        "/v1/completions": (_completion(slots, prompts), stream),
        "/v1/messages": (_anthropic(), stream),
        "/v1/messages/count_tokens": (_object({"messages": _anthropic_messages()}), text),
        "/completion": (_object({**_native(), "prompt": prompts}, ["prompt"]), stream),
        "/infill": (_infill(), stream),
        "/tokenize": (_object(
            {"content": {"type": "string"}, "add_special": _boolean(),
             "parse_special": _boolean(), "with_pieces": _boolean()}, ["content"]), text),
        "/detokenize": (_object({"tokens": ids}, ["tokens"]), text),
        "/apply-template": (_object(
            {"messages": {"$ref": "#/components/schemas/Messages"}, "tools": _tools(),
             "chat_template_kwargs": _null({"type": "object"})}, ["messages"]), text),
    }  # fmt: skip
    paths: Schema = {path: {"get": _operation(says, _answer(says))} for path, says in gets.items()}
    for path, (body, answers) in posts.items():
        paths[path] = {"post": _operation(f"POST {path}", answers, body)}
    plain = {"200": {"description": "Prometheus's text format.", "content": {"text/plain": {}}}}
    paths["/metrics"] = {"get": _operation("Counters, with --metrics.", plain)}
    slot_list = _answer("What each slot does, with --slots.", {"type": "array"})
    paths["/slots"] = {"get": _operation("What each slot does, with --slots.", slot_list)}
    one = _operation("The model.", _answer("The model."))
    name = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    paths["/v1/models/{id}"] = {"get": {**one, "parameters": [name]}}
    return paths


def _operation(summary: str, answers: Schema, body: Schema | None = None) -> Schema:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    refusals = {
        str(status): {"description": says, "content": error} for status, says in ERRORS.items()
    }
    operation: Schema = {"summary": summary, "responses": {**answers, **refusals}}
    if body:
        content = {"application/json": {"schema": body}}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _answer(says: str, schema: Schema | None = None, *, stream: bool = False) -> Schema:
    content: Schema = {
        "application/json": {"schema": schema or {"$ref": "#/components/schemas/Object"}}
    }
    if stream:
        content["text/event-stream"] = {}
    return {"200": {"description": says, "content": content}}


def _object(properties: Schema, required: list[str] | None = None) -> Schema:
    return {"type": "object", "properties": properties, "required": required or []}


def _null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _number(low: float, high: float) -> Schema:
    return {"type": ["number", "null"], "minimum": low, "maximum": high}


def _integer(low: int, high: int = MAX_SAFE_INTEGER) -> Schema:
    return {"type": ["integer", "null"], "minimum": low, "maximum": high}


def _boolean() -> Schema:
    return {"type": ["boolean", "null"]}


def _text() -> Schema:
    return {"type": ["string", "null"]}


def _several(ids: Schema) -> list[Schema]:
    """Return the schemas of several prompts: texts, or lists of token ids."""
    return [
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"type": "array", "items": ids, "minItems": 1},
    ]


def _settings() -> Schema:
    """Return the fields that all requests for text share; see `read_settings`."""
    stops = {"type": "array", "items": {"type": "string"}, "maxItems": MAX_STOPS}
    bias = {"anyOf": [{"type": "number", "minimum": -1e9, "maximum": 100}, {"const": False}]}
    return {
        "temperature": _number(0, 100),
        "top_k": _integer(-1, 1 << 20),
        "top_p": _number(0, 1),
        "min_p": _number(0, 1),
        "repeat_penalty": _number(0.01, 100),
        "repeat_last_n": _integer(-1, 1 << 20),
        "presence_penalty": _number(-2, 2),
        "frequency_penalty": _number(-2, 2),
        "seed": _integer(-1, 2**64 - 1),
        "stop": _null({"anyOf": [{"type": "string"}, stops]}),
        "logit_bias": _null(
            {
                "type": "object",
                "propertyNames": {"pattern": "^[0-9]{1,9}$"},
                "additionalProperties": bias,
                "maxProperties": MAX_BIASES,
            }
        ),
        "cache_prompt": _boolean(),
        "ignore_eos": _boolean(),
        "t_max_predict_ms": _integer(0),
        "stream": _boolean(),
    }


def _format() -> Schema:
    """Return `response_format`; see `read_format`."""
    schema = _object({"name": {"type": "string"}, "schema": {"type": "object"}}, ["schema"])
    kinds = [
        _object({"type": {"const": "text"}}, ["type"]),
        _object({"type": {"const": "json_object"}}, ["type"]),
        _object({"type": {"const": "json_schema"}, "json_schema": schema}, ["type", "json_schema"]),
    ]
    return _null({"anyOf": kinds})


def _messages() -> Schema:
    part = _object({"type": {"const": "text"}, "text": {"type": "string"}}, ["type", "text"])
    content = {"anyOf": [{"type": "string"}, {"type": "array", "items": part}]}
    message = _object({"role": {"enum": list(ROLES)}, "content": content}, ["role", "content"])
    return {"type": "array", "items": message, "minItems": 1}


def _tools() -> Schema:
    function = _object(
        {"name": {"type": "string"}, "parameters": _null({"type": "object"})}, ["name"]
    )
    tool = _object({"type": {"const": "function"}, "function": function}, ["function"])
    return _null({"type": "array", "items": tool, "maxItems": MAX_TOOLS})


def _chat(slots: int) -> Schema:
    return _object(
        {
            **_settings(),
            "messages": {"$ref": "#/components/schemas/Messages"},
            "model": _text(),
            "max_tokens": _integer(-1),
            "max_completion_tokens": _integer(-1),
            "n": _integer(1, slots),
            "logprobs": _boolean(),
            "top_logprobs": _integer(0, MAX_TOP_TOKENS),
            "response_format": _format(),
            "tools": _tools(),
            "stream_options": _null(_object({"include_usage": _boolean()})),
            "reasoning_effort": _text(),
            "chat_template_kwargs": _null({"type": "object"}),
        },
        ["messages"],
    )


def _completion(slots: int, prompts: Schema) -> Schema:
    return _object(
        {
            **_settings(),
            "prompt": prompts,
            "model": _text(),
            "suffix": _text(),
            "max_tokens": _integer(-1),
            "n": _integer(1, slots),
            "logprobs": _integer(0, MAX_COMPLETION_TOP_TOKENS),
            "echo": _boolean(),
            "stream_options": _null(_object({"include_usage": _boolean()})),
        },
        ["prompt"],
    )


def _native() -> Schema:
    return {**_settings(), "n_predict": _integer(-1), "n_probs": _integer(0, MAX_TOP_TOKENS)}


def _infill() -> Schema:
    file = _object({"filename": _text(), "text": {"type": "string"}}, ["text"])
    return _object(
        {
            **_native(),
            "input_prefix": {"type": "string"},
            "input_suffix": _text(),
            "input_extra": _null({"type": "array", "items": file}),
            "prompt": _text(),
        },
        ["input_prefix"],
    )


def _anthropic_messages() -> Schema:
    block = _object({"type": {"const": "text"}, "text": {"type": "string"}}, ["type", "text"])
    content = {"anyOf": [{"type": "string"}, {"type": "array", "items": block, "minItems": 1}]}
    message = _object(
        {"role": {"enum": ["user", "assistant"]}, "content": content}, ["role", "content"]
    )
    return {"type": "array", "items": message, "minItems": 1}


def _anthropic() -> Schema:
    settings: Mapping[str, Any] = _settings()
    shared = {name: settings[name] for name in ("temperature", "top_p", "top_k", "stream")}
    return _object(
        {
            **shared,
            "model": _text(),
            "max_tokens": {"type": "integer", "minimum": 0},
            "messages": _anthropic_messages(),
            "system": _text(),
            "stop_sequences": _null(
                {"type": "array", "items": {"type": "string"}, "maxItems": MAX_STOPS}
            ),
        },
        ["max_tokens", "messages"],
    )


_ERROR = _object(
    {
        "error": _object(
            {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "integer", "null"]},
            },
            ["message", "type", "param", "code"],
        )
    },
    ["error"],
)
