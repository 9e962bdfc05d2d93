"""Fields that all requests for text share: sampling, stops, limits, logprobs, grammars."""

import json
import secrets
from typing import Any

from zeropoint.server.http.errors import bad, unsupported
from zeropoint.server.http.fields import Fields

MAX_STOPS = 16
MAX_BIASES = 1024
MAX_SCHEMA_CHARACTERS = 256 << 10
MAX_TOP_TOKENS = 20
NOT_IMPLEMENTED = ("grammar", "lora", "mirostat", "control_vector")


def read_settings(fields: Fields) -> dict[str, Any]:
    """Return the part of the engine's request that does not depend on the endpoint.

    Raises ApiError for a field out of range, or one that is not implemented.
    """
    for name in NOT_IMPLEMENTED:
        if fields.values.get(name):
            raise unsupported(name, f"{name} is not supported by this server")
    sampling: dict[str, Any] = {
        "temperature": fields.number("temperature", 0, 100),
        "top_k": fields.integer("top_k", -1, 1 << 20),
        "top_p": fields.number("top_p", 0, 1),
        "min_p": fields.number("min_p", 0, 1),
        "repeat_penalty": fields.number("repeat_penalty", 0.01, 100),
        "repeat_window": fields.integer("repeat_last_n", -1, 1 << 20),
        "presence_penalty": fields.number("presence_penalty", -2, 2),
        "frequency_penalty": fields.number("frequency_penalty", -2, 2),
        "seed": fields.integer("seed", -1, 2**64 - 1),
    }
    sampling = {name: value for name, value in sampling.items() if value is not None}
    if sampling.get("top_k") == -1:
        sampling["top_k"] = 0
    if sampling.get("top_p") == 0:  # the most likely token alone
        sampling["top_p"] = 1e-9
    if sampling.get("repeat_window") in (0, -1):
        window = sampling.pop("repeat_window")
        sampling |= {"repeat_penalty": 1.0} if window == 0 else {"repeat_window": 1 << 30}
    if sampling.get("seed", -1) == -1:
        sampling["seed"] = secrets.randbits(32)
    sampling |= _biases(fields)
    return {
        "sampling": sampling,
        "stop": fields.texts("stop", MAX_STOPS),
        "reuse": fields.boolean("cache_prompt", True),
        "ignore_eos": fields.boolean("ignore_eos"),
        "milliseconds": fields.integer("t_max_predict_ms", 0),
    }


def _biases(fields: Fields) -> dict[str, Any]:
    """Read `logit_bias`: OpenAI's object, or llama.cpp's list of pairs with ids or texts."""
    value = fields.values.get("logit_bias")
    if value is None:
        return {}
    pairs = list(value.items()) if isinstance(value, dict) else value
    if not isinstance(pairs, list) or len(pairs) > MAX_BIASES:
        raise fields.bad("logit_bias", f"must be an object of at most {MAX_BIASES} token ids")
    by_id, by_text = [], []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise fields.bad("logit_bias", "must have pairs of a token and a bias")
        token, bias = pair
        if bias is False:
            bias = -1e9
        if isinstance(bias, bool) or not isinstance(bias, int | float) or not -1e9 <= bias <= 100:
            raise fields.bad("logit_bias", "must have biases from -100 to 100")
        if isinstance(value, dict) or isinstance(token, int):
            if not str(token).isdigit() or int(token) >= 1 << 31:
                raise fields.bad("logit_bias", "must have token ids as keys")
            by_id.append([int(token), float(bias)])
        elif isinstance(token, str):
            by_text.append([token, float(bias)])
        else:
            raise fields.bad("logit_bias", "must have token ids or texts")
    return {"logit_bias": by_id, "text_bias": by_text}


def read_format(fields: Fields) -> dict[str, Any] | None:
    """Return the grammar of `response_format` or `json_schema`, or None."""
    if "json_schema" in fields:
        return {"schema": _checked_schema(fields.values["json_schema"], "json_schema")}
    wanted = fields.mapping("response_format")
    if wanted is None:
        return None
    inner = Fields(wanted, "response_format.")
    match inner.text("type"):
        case "text":
            return None
        case "json_object":
            schema = inner.values.get("schema", {"type": "object"})
            return {"schema": _checked_schema(schema, "response_format.schema")}
        case "json_schema":
            named = inner.mapping("json_schema")
            schema = (named or {}).get("schema")
            if schema is None:
                raise bad(
                    "response_format.json_schema.schema",
                    "response_format.json_schema.schema is missing",
                )
            return {"schema": _checked_schema(schema, "response_format.json_schema.schema")}
        case other:
            raise bad(
                "response_format.type",
                f"response_format.type {other!r} is unknown; it must be text, json_object or"
                " json_schema",
            )


def _checked_schema(schema: Any, param: str) -> Any:
    if not isinstance(schema, dict | bool):
        raise bad(param, f"{param} must be an object")
    if len(json.dumps(schema)) > MAX_SCHEMA_CHARACTERS:
        raise bad(param, f"{param} is larger than {MAX_SCHEMA_CHARACTERS} characters")
    return schema
