"""The API's answers: whole and streamed, errors, disconnects, and an engine that fails."""

import json
import os
import random
import signal
import time
from typing import Any

import pytest

from support.api_server import ApiServer, api_server, until


def script(**values: Any) -> dict[str, Any]:
    """A chat whose answer the scripted engine takes from the message."""
    return {"messages": [{"role": "user", "content": json.dumps(values)}]}


def report(text: str) -> dict[str, Any]:
    entry = {"id": 1, "logprob": -0.5, "bytes": list(text.encode())}
    return {**entry, "top": [entry]}


CHAT = "/v1/chat/completions"


def test_a_chat_is_answered(server: ApiServer) -> None:
    for path in (CHAT, "/chat/completions"):
        status, body = server.post(path, {**script(pieces=["Hi", " you"]), "model": "mine"})
        assert status == 200
        assert body["object"] == "chat.completion" and body["id"].startswith("chatcmpl-")
        assert body["model"] == "mine" and body["system_fingerprint"]
        (choice,) = body["choices"]
        assert choice["message"] == {"role": "assistant", "content": "Hi you", "refusal": None}
        assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
        assert body["usage"] == {
            "prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9,
            "prompt_tokens_details": {"cached_tokens": 3},
        }  # fmt: skip
        assert body["timings"]["cache_n"] + body["timings"]["prompt_n"] == 7


def test_a_stream_has_the_order_of_openai(server: ApiServer) -> None:
    body = {**script(pieces=["Hi", " you"]), "stream_options": {"include_usage": True}}
    *chunks, done = server.stream(CHAT, body)
    assert done == "[DONE]"
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[:-1]]
    assert deltas == [
        {"role": "assistant", "content": ""}, {"content": "Hi"}, {"content": " you"}, {},
    ]  # fmt: skip
    reasons = [chunk["choices"][0]["finish_reason"] for chunk in chunks[:-1]]
    assert reasons == [None, None, None, "stop"]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] == 2
    without = server.stream(CHAT, script(pieces=["Hi"]))
    assert all("usage" not in chunk for chunk in without[:-1])


def test_several_choices_have_their_index(server: ApiServer) -> None:
    status, body = server.post(CHAT, {**script(pieces=["x"]), "n": 3})
    assert status == 200
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    assert body["usage"]["completion_tokens"] == 3 and body["usage"]["prompt_tokens"] == 7
    chunks = server.stream(CHAT, {**script(pieces=["x"]), "n": 2})[:-1]
    for index in (0, 1):
        mine = [one["choices"][0] for one in chunks if one["choices"][0]["index"] == index]
        assert [one["finish_reason"] for one in mine] == [None, None, "stop"]


def test_the_reason_of_the_end_is_openais(server: ApiServer) -> None:
    for reason, wanted in (("limit", "length"), ("context", "length"), ("word", "stop")):
        _, body = server.post(CHAT, script(pieces=["x"], reason=reason))
        assert body["choices"][0]["finish_reason"] == wanted


def test_log_probabilities_join_to_the_text(server: ApiServer) -> None:
    wanted = script(pieces=["h", "é"], tokens=[report("h"), report("é")])
    options = {"logprobs": True, "top_logprobs": 1}
    _, body = server.post(CHAT, {**wanted, **options})
    content = body["choices"][0]["logprobs"]["content"]
    assert b"".join(bytes(one["bytes"]) for one in content).decode() == "hé"
    assert [one["top_logprobs"][0]["token"] for one in content] == ["h", "é"]
    chunks = server.stream(CHAT, {**wanted, **options})[:-1]
    streamed = [
        entry
        for chunk in chunks
        for entry in (chunk["choices"][0].get("logprobs") or {"content": []})["content"]
    ]
    assert streamed == content


def test_calls_and_reasoning_are_separated() -> None:
    template = "tools <think></think><tool_call>"
    reply = ["<think>hm", "m</think>", 'Ok <tool_call>{"name": "f", "arg', 'uments": {"a": 1}}']
    tools = [{"type": "function", "function": {"name": "f"}}]
    with api_server(facts={"chat_template": template}) as server:
        body = {**script(pieces=reply), "tools": tools}
        _, answer = server.post(CHAT, body)
        (choice,) = answer["choices"]
        assert choice["finish_reason"] == "tool_calls"
        message = choice["message"]
        assert (message["content"], message["reasoning_content"]) == ("Ok ", "hmm")
        (call,) = message["tool_calls"]
        assert call["function"] == {"name": "f", "arguments": '{"a": 1}'}
        assert call["id"].startswith("call_") and call["type"] == "function"
        deltas = [
            chunk["choices"][0]["delta"] for chunk in server.stream(CHAT, body)[:-1]
        ]  # fmt: skip
        assert "".join(delta.get("content", "") for delta in deltas) == "Ok "
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == "hmm"
        (calls,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
        assert calls[0]["index"] == 0 and calls[0]["function"]["name"] == "f"
        _, answer = server.post(CHAT, {**body, "tool_choice": "none"})
        assert "tool_calls" not in answer["choices"][0]["message"]


def test_completions_are_answered_and_streamed(server: ApiServer) -> None:
    body = {"prompt": json.dumps({"pieces": ["a", "b"], "tokens": [report("a"), report("b")]})}
    status, answer = server.post("/v1/completions", {**body, "logprobs": 1})
    assert status == 200 and answer["object"] == "text_completion"
    (choice,) = answer["choices"]
    assert choice["text"] == "ab" and choice["logprobs"]["text_offset"] == [0, 1]
    assert choice["logprobs"]["top_logprobs"] == [{"a": -0.5}, {"b": -0.5}]
    *chunks, done = server.stream("/v1/completions", body)
    assert done == "[DONE]"
    assert [one["choices"][0]["text"] for one in chunks] == ["a", "b", ""]
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    _, echoed = server.post("/v1/completions", {**body, "echo": True})
    assert echoed["choices"][0]["text"] == body["prompt"] + "ab"


def test_native_completions_and_infill_have_llama_cpps_fields(server: ApiServer) -> None:
    body = {"prompt": json.dumps({"pieces": ["a", "b"], "ids": [4, 5], "reason": "limit"})}
    _, answer = server.post("/completion", body)
    assert (answer["content"], answer["tokens"], answer["stop_type"]) == ("ab", [4, 5], "limit")
    assert answer["stop"] is True and answer["timings"]["predicted_n"] == 2
    chunks = server.stream("/completion", body)
    assert [one["content"] for one in chunks] == ["a", "b", ""]
    assert [one["stop"] for one in chunks] == [False, False, True]
    _, answer = server.post("/infill", {"input_prefix": body["prompt"], "input_suffix": ""})
    assert answer["content"] == "ab"


def test_small_endpoints_answer(server: ApiServer) -> None:
    assert server.get("/health") == (200, {"status": "ok"})
    for path in ("/models", "/v1/models"):
        _, body = server.get(path)
        assert [one["id"] for one in body["data"]] == ["scripted.gguf"]
        assert body["data"][0]["meta"]["n_vocab"] == 300
    assert server.get("/v1/models/scripted.gguf")[0] == 200
    assert server.get("/v1/models/other")[0] == 404
    assert server.post("/tokenize", {"content": "hé"})[1] == {"tokens": [104, 195, 169]}
    _, pieces = server.post("/tokenize", {"content": "é", "with_pieces": True})
    assert pieces == {"tokens": [{"id": 195, "piece": [195]}, {"id": 169, "piece": [169]}]}
    assert server.post("/detokenize", {"tokens": [104]})[1] == {"content": "h"}
    assert "hi" in server.post(
        "/apply-template", {"messages": [{"role": "user", "content": "hi"}]}
    )[1]["prompt"]  # fmt: skip
    _, props = server.get("/props")
    assert (props["total_slots"], props["n_ctx"]) == (4, 1024)
    assert props["model_path"] == "scripted.gguf"
    status, headers, metrics = server.request("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert b"\nzeropoint:requests_total 1\n" in metrics
    for path in ("/v1/embeddings", "/v1/responses"):
        status, body = server.post(path, {"input": "x"})
        assert status == 501 and path in body["error"]["message"]


def test_errors_have_openais_form(server: ApiServer) -> None:
    status, body = server.post(CHAT, {"messages": []})
    assert status == 400
    error = body["error"]
    assert (error["type"], error["param"], error["code"]) == (
        "invalid_request_error", "messages", 400,
    )  # fmt: skip
    assert server.get("/nothing")[0] == 404
    assert server.get(CHAT)[0] == 405
    assert server.request("POST", CHAT, b"{")[0] == 400


def test_what_the_engine_refuses_is_a_plain_error_also_for_a_stream(server: ApiServer) -> None:
    error = {
        "status": 400, "kind": "exceed_context_size_error", "message": "too long",
        "code": "context_length_exceeded", "n_prompt_tokens": 9, "n_ctx": 4,
    }  # fmt: skip
    for stream in (False, True):
        status, body = server.post(CHAT, {**script(error=error), "stream": stream})
        assert status == 400
        assert body["error"] == {
            "message": "too long", "type": "exceed_context_size_error", "param": None,
            "code": "context_length_exceeded", "n_prompt_tokens": 9, "n_ctx": 4,
        }  # fmt: skip


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_frees_its_slot(server: ApiServer, stream: bool) -> None:
    slow = {**script(pieces=["x"] * 3000, wait=0.01), "stream": stream}
    for path in (CHAT, "/v1/chat/completions"):
        opened = server.open(path, slow)
        until(lambda: server.busy_slots() == 1)
        started = time.monotonic()
        opened.close()
        until(lambda: server.busy_slots() == 0)
        assert time.monotonic() - started < 5
    assert server.client.running == 0


def test_a_hundred_random_disconnects_leave_no_slot_busy(server: ApiServer) -> None:
    draw = random.Random(5)
    for _ in range(25):
        slow = {**script(pieces=["x"] * 200, wait=0.002), "stream": draw.random() < 0.5}
        opened = [server.open(CHAT, slow) for _ in range(4)]
        for one in opened:
            time.sleep(draw.random() * 0.01)
            one.close()
    until(lambda: server.client.running == 0 and server.busy_slots() == 0)
    assert server.post(CHAT, script(pieces=["x"]))[0] == 200


def test_a_full_queue_is_answered_with_503_and_a_time_to_wait() -> None:
    with api_server(queue_limit=1, facts={"slots": 1}) as server:
        slow = script(pieces=["x"] * 1000, wait=0.01)
        opened = [server.open(CHAT, slow) for _ in range(2)]
        until(lambda: server.client.running == 2)
        status, headers, body = server.request("POST", CHAT, slow)
        assert (status, headers["retry-after"]) == (503, "2")
        assert json.loads(body)["error"]["type"] == "unavailable_error"
        for one in opened:
            one.close()
        until(lambda: server.client.running == 0)
        assert server.post(CHAT, script(pieces=["x"]))[0] == 200


def test_while_the_model_loads_the_server_says_so() -> None:
    with api_server(load_seconds=1.5, wait=False) as server:
        status, headers, body = server.request("GET", "/health")
        assert (status, headers["retry-after"]) == (503, "2")
        assert json.loads(body)["error"]["message"] == "Loading model"
        assert server.get("/v1/models") == (200, {"object": "list", "data": []})
        assert server.post(CHAT, script())[0] == 503
        until(lambda: server.client.is_up)
        assert server.get("/health")[0] == 200


def test_an_engine_that_crashes_is_started_once_more() -> None:
    with api_server() as server:
        assert server.client.pid
        chunks = server.stream(CHAT, script(pieces=["a"], crash=True))
        assert chunks[1]["choices"][0]["delta"] == {"content": "a"}
        assert chunks[-1]["error"]["type"] == "unavailable_error"
        until(lambda: server.client.is_up)
        assert server.client.restarts == 1
        assert server.post(CHAT, script(pieces=["b"]))[0] == 200
        os.kill(server.client.pid, signal.SIGKILL)
        until(lambda: bool(server.client.failure))
        status, body = server.post(CHAT, script())
        assert status == 503 and "crashed again" in body["error"]["message"]
        assert server.get("/health")[0] == 503


def test_progress_is_reported_if_it_is_wanted(server: ApiServer) -> None:
    body = script(pieces=["x"], progress=True)
    assert len(server.stream(CHAT, body)) == 4
    chunks = server.stream(CHAT, {**body, "return_progress": True})
    assert chunks[1]["prompt_progress"] == {"processed": 3}
