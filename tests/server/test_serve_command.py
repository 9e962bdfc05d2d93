"""`zeropoint serve` with a real model: the whole way from a request to its text, and its end."""

import http.client
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.api_server import ApiServer, api_server
from support.tiny_models import write_model
from zeropoint.models import Finished, Sampling, Token, generate, load_model

COMPLETIONS = "/v1/completions"
COMMAND = (sys.executable, "-m", "zeropoint.server.engine.process")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("serve") / "tiny.gguf")


@pytest.fixture(scope="module")
def server(path: Path) -> Iterator[ApiServer]:
    options: dict[str, Any] = {
        "model": str(path), "mode": "exact", "threads": 1, "parallel": 2, "context": 256,
        "cache_bytes": 1 << 28,
    }  # fmt: skip
    with api_server(command=COMMAND, **options) as running:
        yield running


def test_a_completion_is_the_text_of_generate(server: ApiServer, path: Path) -> None:
    body = {"prompt": "Once upon a", "max_tokens": 12, "seed": 4, "temperature": 0.9, "top_k": 0}
    model = load_model(str(path), threads=1)
    ids = model.tokenizer.encode(body["prompt"], ends=True)
    records = generate(
        model, ids, limit=12, cache=model.cache(256),
        sampling=Sampling(seed=4, temperature=0.9, top_k=0),
    )  # fmt: skip
    wanted = "".join(one.text for one in records if isinstance(one, Token | Finished))
    for _ in range(2):  # the second time the prompt is in a cache
        status, answer = server.post(COMPLETIONS, body)
        assert status == 200
        assert answer["choices"][0]["text"] == wanted
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == len(ids) - 1
    streamed = server.stream(COMPLETIONS, body)[:-1]
    assert "".join(chunk["choices"][0]["text"] for chunk in streamed) == wanted
    other = server.post(COMPLETIONS, {**body, "seed": 5})[1]
    assert other["choices"][0]["text"] != wanted


def test_a_prompt_beyond_the_context_is_refused_with_both_numbers(server: ApiServer) -> None:
    for stream in (True, False):
        status, body = server.post(COMPLETIONS, {"prompt": [5] * 300, "stream": stream})
        error = body["error"]
        assert status == 400 and error["type"] == "exceed_context_size_error"
        assert (error["n_prompt_tokens"], error["n_ctx"]) == (300, 256)
        assert error["code"] == "context_length_exceeded"
        assert "exceeds the available context size" in error["message"]
        assert "maximum context length" in error["message"]


def test_wrong_prompts_and_missing_abilities_are_answered_plainly(server: ApiServer) -> None:
    status, body = server.post(COMPLETIONS, {"prompt": [10**6]})
    assert (status, body["error"]["param"]) == (400, "prompt")
    assert server.post("/infill", {"input_prefix": "a"})[0] == 501
    status, body = server.post(
        "/v1/chat/completions", {"messages": [{"role": "user", "content": "x"}]}
    )
    assert (status, body["error"]["param"]) == (400, "messages")
    assert str(Path("/")) not in body["error"]["message"].split("tiny.gguf")[0]
    _, tokens = server.post("/tokenize", {"content": "hello", "add_special": True})
    assert server.post("/detokenize", tokens)[1]["content"].endswith("hello")


def test_a_prompt_is_in_no_log(server: ApiServer, capfd: pytest.CaptureFixture[str]) -> None:
    server.post(COMPLETIONS, {"prompt": "a secret", "max_tokens": 2})
    server.post(COMPLETIONS, {"prompt": "a secret", "max_tokens": -7})
    captured = capfd.readouterr()
    assert "secret" not in captured.out + captured.err


def test_the_command_serves_until_it_is_told_to_stop(path: Path) -> None:
    words = ["serve", str(path), "--port", "0", "--parallel", "1", "--ctx", "256", "--json"]
    body = json.dumps({"prompt": "a", "max_tokens": 200, "stream": True, "ignore_eos": True})
    with subprocess.Popen(
        [sys.executable, "-m", "zeropoint", *words, "--threads", "1"], stdout=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, b"}\n")
            ready = json.loads(b"".join([*lines, b"}"]))
            assert (ready["model"], ready["slots"], ready["context"]) == ("tiny.gguf", 1, 256)
            connection = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=30)
            connection.request("POST", COMPLETIONS, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            assert answer.readline().startswith(b"data: ")
            process.send_signal(signal.SIGTERM)
            assert answer.read().rstrip().endswith(b"data: [DONE]"), "a running text is finished"
            connection.close()
            assert process.wait(30) == 0
        finally:
            process.kill()


def test_the_processes_before_the_engine_import_neither_numpy_nor_torch() -> None:
    code = (
        "import sys, zeropoint.server.http.process, zeropoint.server.http.app;"
        "import zeropoint.server.lsp.process;"
        "print(sorted({'numpy', 'torch', 'tokenizers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.gguf"], "missing.gguf"),
        (["MODEL", "--host", "0.0.0.0"], "--api-key-file"),
        (["MODEL", "--ctx", "99999"], "more than the model's"),
        (["MODEL", "--api-key-file", "/nowhere"], "/nowhere"),
        (["MODEL", "--port", "PORT"], "not available"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(words: list[str], message: str, path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = [{"MODEL": str(path), "PORT": port}.get(word, word) for word in words]
        if "--port" not in words:
            words += ["--port", "0"]
        # In a process of its own: another test of this process may have an event loop.
        command = [sys.executable, "-m", "zeropoint", "serve", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert len(done.stderr.splitlines()) == 1
