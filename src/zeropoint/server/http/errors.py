"""Errors of the API: a status, and a body as OpenAI's clients expect it."""

from collections.abc import Mapping
from typing import Any

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    431: "invalid_request_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
}


class ApiError(Exception):
    """An answer that is an error. `param` is the field of the request that caused it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "",
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type or TYPES.get(status, "server_error")
        self.param = param
        # OpenAI's clients repeat a request after every status from 500 on, unless this says no.
        final = {"x-should-retry": "false"} if status == 501 else {}
        self.headers = {**final, **(headers or {})}
        self.more = dict(more or {})

    def body(self) -> dict[str, Any]:
        """Return the JSON body. `code` is the status, unless there is a code of OpenAI's."""
        error = {
            "message": self.message,
            "type": self.type,
            "param": self.param,
            "code": self.status,
        }
        return {"error": error | self.more}


def bad(param: str, message: str) -> ApiError:
    """Return the error of a field with a wrong value."""
    return ApiError(400, message, param=param)


def unsupported(param: str, message: str) -> ApiError:
    """Return the error of a field that is understood but not implemented."""
    return ApiError(501, message, param=param)


def busy(message: str, seconds: int = 1) -> ApiError:
    """Return the error of a server that cannot take the request now."""
    return ApiError(503, message, headers={"Retry-After": str(seconds)})


def engine_error(event: Mapping[str, Any]) -> ApiError:
    """Return the error that the engine reports."""
    more = {key: event[key] for key in ("n_prompt_tokens", "n_ctx", "code") if key in event}
    return ApiError(
        int(event["status"]),
        str(event["message"]),
        type=str(event["kind"]),
        param=event.get("param"),
        more=more,
    )
