"""The routes of the API, each with and without `/v1`."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from zeropoint._version import __version__
from zeropoint.server.http.chat import ChatAnswer
from zeropoint.server.http.chat_request import ChatRequest, read_chat, read_messages
from zeropoint.server.http.completions import CompletionAnswer, read_completion
from zeropoint.server.http.engine_client import EngineClient, GenerationStream
from zeropoint.server.http.errors import ApiError, bad
from zeropoint.server.http.fields import Fields, parse_body, token_ids
from zeropoint.server.http.messages import (
    MessagesAnswer,
    event_line,
    read_messages_request,
)
from zeropoint.server.http.metrics import metrics_text
from zeropoint.server.http.native import NativeAnswer, read_infill, read_native
from zeropoint.server.http.openapi import describe_api
from zeropoint.server.http.streams import answer_once, answer_stream

Handler = Callable[[Request], Awaitable[Response]]
NOT_IMPLEMENTED = (
    "embeddings",
    "rerank",
    "responses",
    "audio/transcriptions",
    "images/generations",
)


@dataclass(frozen=True, kw_only=True)
class RouteOptions:
    """Which routes answer that show what the server does."""

    metrics: bool = False
    slots: bool = False


class ApiRoutes:
    """The handlers of one server."""

    def __init__(self, client: EngineClient, options: RouteOptions) -> None:
        self.client = client
        self.options = options
        self._created = int(time.time())

    def app(self) -> Starlette:
        """Return the application."""
        gets: dict[str, Handler] = {
            "health": self.health,
            "models": self.models,
            "models/{id:path}": self.model,
            "props": self.props,
            "openapi.json": self.description,
            "metrics": self.metrics,
            "slots": self.slots,
        }
        posts: dict[str, Handler] = {
            "chat/completions": self.chat,
            "messages": self.messages,
            "messages/count_tokens": self.count_tokens,
            "completions": self.completions,
            "completion": self.completion,
            "infill": self.infill,
            "tokenize": self.tokenize,
            "detokenize": self.detokenize,
            "apply-template": self.apply_template,
            **dict.fromkeys(NOT_IMPLEMENTED, self.not_implemented),
        }
        routes = [
            Route(f"{prefix}/{path}", handler, methods=[method])
            for method, handlers in (("GET", gets), ("POST", posts))
            for path, handler in handlers.items()
            for prefix in ("", "/v1")
        ]
        handlers = {ApiError: _answer_error, HTTPException: _answer_status}
        return Starlette(routes=routes, exception_handlers=handlers)  # type: ignore[arg-type]

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the engine has reported. Raises ApiError 503 while the model is loading."""
        self.client.check()
        return self.client.facts

    async def health(self, request: Request) -> Response:
        """Answer whether requests are served now."""
        self.client.check()
        return JSONResponse({"status": "ok"})

    async def models(self, request: Request) -> Response:
        """List the model; while it is loading the list is empty."""
        found = [self._model()] if self.client.facts else []
        return JSONResponse({"object": "list", "data": found})

    async def model(self, request: Request) -> Response:
        """Describe the model."""
        if request.path_params["id"] != self.facts["name"]:
            raise ApiError(404, f"there is no such model; this server has {self.facts['name']}")
        return JSONResponse(self._model())

    def _model(self) -> dict[str, Any]:
        facts = self.client.facts
        names = ("n_ctx_train", "n_vocab", "n_embd", "n_params", "size")
        return {
            "id": facts["name"],
            "object": "model",
            "created": self._created,
            "owned_by": "zeropoint",
            "meta": {**{name: facts[name] for name in names}, "n_ctx": facts["n_ctx"]},
        }

    async def props(self, request: Request) -> Response:
        """Describe the server, as llama.cpp does. The model's path has no folders."""
        facts = self.facts
        return JSONResponse(
            {
                "default_generation_settings": {"n_ctx": facts["n_ctx"], **facts["sampling"]},
                "total_slots": facts["slots"],
                "model_path": facts["name"],
                "model_alias": facts["name"],
                "chat_template": facts["chat_template"],
                "bos_token": facts["bos_token"],
                "eos_token": facts["eos_token"],
                "modalities": {"vision": False, "audio": False},
                "n_ctx": facts["n_ctx"],
                "build_info": f"zeropoint {__version__}",
            }
        )

    async def description(self, request: Request) -> Response:
        """Describe every endpoint, as OpenAPI."""
        return JSONResponse(describe_api(int(self.facts["slots"])))

    async def metrics(self, request: Request) -> Response:
        """Answer with the counters in Prometheus's text format."""
        if not self.options.metrics:
            raise ApiError(501, "metrics are switched off; start zeropoint serve with --metrics")
        state = await self.client.call("state")
        return PlainTextResponse(metrics_text(state, self.client))

    async def slots(self, request: Request) -> Response:
        """List the slots, without anything of their prompts."""
        if not self.options.slots:
            raise ApiError(501, "slots are not shown; start zeropoint serve with --slots")
        state = await self.client.call("state")
        return JSONResponse([{**slot, "n_ctx": self.facts["n_ctx"]} for slot in state["slots"]])

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        wanted = read_chat(parse_body(await request.body()), self.facts)
        answer = ChatAnswer(wanted, str(self.facts["chat_template"]))
        generation = self.client.generate(_choices(wanted))
        if wanted.stream:
            return await answer_stream(request, generation, answer.chunks)
        return await answer_once(request, generation, answer.collect, answer.body)

    async def messages(self, request: Request) -> Response:
        """Answer a conversation in Anthropic's form."""
        wanted = read_messages_request(parse_body(await request.body()), self.facts)
        answer = MessagesAnswer(wanted, str(self.facts["chat_template"]))
        generation = self.client.generate([wanted.work])
        if wanted.stream:
            return await answer_stream(
                request, generation, answer.chunks, done=False, line=event_line
            )
        return await answer_once(request, generation, answer.collect, answer.body)

    async def count_tokens(self, request: Request) -> Response:
        """Count the tokens of a conversation in Anthropic's form."""
        values = {"max_tokens": 1, **parse_body(await request.body())}
        prompt = read_messages_request(values, self.facts).work["prompt"]
        return JSONResponse({"input_tokens": await self.client.call("count", prompt=prompt)})

    async def completions(self, request: Request) -> Response:
        """Continue one or more prompts."""
        wanted = read_completion(parse_body(await request.body()), self.facts)
        answer = CompletionAnswer(wanted)
        generation = self.client.generate(wanted.works)
        if wanted.stream:
            return await answer_stream(request, generation, answer.chunks)
        return await answer_once(request, generation, answer.collect, answer.body)

    async def completion(self, request: Request) -> Response:
        """Continue a prompt, in llama.cpp's form."""
        values = parse_body(await request.body())
        return await self._native(request, values, read_native(values))

    async def infill(self, request: Request) -> Response:
        """Write what belongs between a prefix and a suffix."""
        values = parse_body(await request.body())
        return await self._native(request, values, read_infill(values, self.facts))

    async def _native(
        self, request: Request, values: Mapping[str, Any], work: dict[str, Any]
    ) -> Response:
        answer = NativeAnswer(work, str(self.facts["name"]))
        generation: GenerationStream = self.client.generate([work])
        if Fields(values).boolean("stream"):
            return await answer_stream(request, generation, answer.chunks, done=False)
        return await answer_once(request, generation, answer.collect, answer.body)

    async def tokenize(self, request: Request) -> Response:
        """Return the tokens of a text."""
        fields = Fields(parse_body(await request.body()))
        content = fields.text("content")
        if content is None:
            raise bad("content", "content must be a string")
        tokens = await self.client.call(
            "tokenize",
            content=content,
            add_special=fields.boolean("add_special"),
            parse_special=fields.boolean("parse_special", True),
        )
        if not fields.boolean("with_pieces"):
            return JSONResponse({"tokens": [token["id"] for token in tokens]})
        pieces = [{"id": token["id"], "piece": _piece(token["bytes"])} for token in tokens]
        return JSONResponse({"tokens": pieces})

    async def detokenize(self, request: Request) -> Response:
        """Return the text of tokens."""
        fields = Fields(parse_body(await request.body()))
        values = fields.sequence("tokens")
        if values is None:
            raise bad("tokens", "tokens must be an array of token ids")
        text = await self.client.call("detokenize", tokens=token_ids(values, "tokens"))
        return JSONResponse({"content": text})

    async def apply_template(self, request: Request) -> Response:
        """Return a conversation as the model's chat template writes it."""
        fields = Fields(parse_body(await request.body()))
        messages, begun = read_messages(fields)
        variables = dict(fields.mapping("chat_template_kwargs") or {})
        tools = fields.sequence("tools")
        if tools:
            variables["tools"] = tools
        text = await self.client.call("render", messages=messages, variables=variables)
        return JSONResponse({"prompt": text + begun})

    async def not_implemented(self, request: Request) -> Response:
        """Refuse an endpoint that OpenAI's API has and this server has not."""
        raise ApiError(501, f"{request.url.path} is not supported by zeropoint serve")


def _choices(wanted: ChatRequest) -> list[dict[str, Any]]:
    """Return the work of each choice: the same, with a seed of its own."""
    sampling = wanted.work["sampling"]
    return [
        {**wanted.work, "sampling": {**sampling, "seed": (sampling["seed"] + at) % 2**64}}
        for at in range(wanted.choices)
    ]


def _piece(data: list[int]) -> str | list[int]:
    try:
        return bytes(data).decode()
    except ValueError:
        return data


async def _answer_error(request: Request, error: ApiError) -> Response:
    return JSONResponse(error.body(), error.status, headers=error.headers)


async def _answer_status(request: Request, error: HTTPException) -> Response:
    messages = {404: "there is no such endpoint", 405: "this endpoint has another method"}
    message = messages.get(error.status_code, error.detail)
    body = ApiError(error.status_code, message).body()
    return JSONResponse(body, error.status_code, headers=error.headers)
