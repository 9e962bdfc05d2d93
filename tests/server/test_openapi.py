"""The OpenAPI description: every endpoint is in it, and its bounds are those of the readers."""

import json
import re
from typing import Any

import pytest

from support.api_server import ApiServer
from zeropoint.server.http.app import NOT_IMPLEMENTED, ApiRoutes, RouteOptions
from zeropoint.server.http.errors import ApiError
from zeropoint.server.http.fields import Fields
from zeropoint.server.http.openapi import ERRORS, describe_api
from zeropoint.server.http.settings import read_settings

SLOTS = 4
API = describe_api(SLOTS)
CHAT = API["paths"]["/v1/chat/completions"]["post"]["requestBody"]
SETTINGS = CHAT["content"]["application/json"]["schema"]["properties"]
BOUNDS = {
    name: schema
    for name, schema in SETTINGS.items()
    if "minimum" in schema and name not in ("n", "top_logprobs", "max_completion_tokens")
    and name != "max_tokens"
}  # fmt: skip


def test_every_endpoint_is_described_and_nothing_else(server: ApiServer) -> None:
    routes = ApiRoutes(server.client, RouteOptions()).app().routes
    found = {
        (re.sub(":path", "", route.path), method)  # type: ignore[attr-defined]
        for route in routes
        for method in route.methods - {"HEAD"}  # type: ignore[attr-defined]
    }
    described = {(path, method.upper()) for path, item in API["paths"].items() for method in item}
    both = described | {(f"/v1{path}", method) for path, method in described}
    both |= {(path.removeprefix("/v1"), method) for path, method in described}
    refused = {(f"{prefix}/{name}", "POST") for name in NOT_IMPLEMENTED for prefix in ("", "/v1")}
    assert {pair for pair in found if not pair[0].startswith("/v1/v1")} - refused == {
        pair for pair in both if not pair[0].startswith("/v1/v1")
    }


def test_every_reference_leads_somewhere(server: ApiServer) -> None:
    status, body = server.get("/openapi.json")
    assert status == 200 and body == json.loads(json.dumps(API))
    for reference in re.findall(r'"\$ref": "#/([^"]+)"', json.dumps(body)):
        place: Any = body
        for part in reference.split("/"):
            place = place[part]
        assert place["type"] in ("object", "array")


@pytest.mark.parametrize("name", BOUNDS)
def test_bounds_are_those_of_the_reader(name: str) -> None:
    low, high = BOUNDS[name]["minimum"], BOUNDS[name]["maximum"]
    for value in (low, high, None):
        read_settings(Fields({name: value}))
    for value in (low - 1, high * 2 + 1, "1", True, [1]):
        with pytest.raises(ApiError) as raised:
            read_settings(Fields({name: value}))
        assert raised.value.status == 400 and raised.value.param == name


def test_a_wrong_method_names_the_right_one(server: ApiServer) -> None:
    for method, path, allowed in (
        ("POST", "/health", "GET"), ("GET", "/infill", "POST"), ("DELETE", "/v1/models", "GET"),
    ):  # fmt: skip
        status, headers, data = server.request(method, path)
        assert status == 405 and allowed in headers["allow"]
        assert json.loads(data)["error"]["code"] == 405


def test_clients_do_not_repeat_what_is_not_supported(server: ApiServer) -> None:
    status, headers, _ = server.request("POST", "/v1/embeddings", {})
    assert (status, headers["x-should-retry"]) == (501, "false")


def test_every_status_of_an_answer_is_described(server: ApiServer) -> None:
    seen = {
        server.post("/v1/completions", {})[0], server.get("/nothing")[0],
        server.get("/v1/models/other")[0], server.post("/v1/embeddings", {})[0],
        server.request("POST", "/infill", b"x", {"Content-Type": "text/plain"})[0],
        server.request("GET", "/health", None, {"Host": "other.test"})[0],
    }  # fmt: skip
    assert seen == {400, 404, 501, 415, 403} and seen < set(ERRORS)
