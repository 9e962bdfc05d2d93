"""The process that computes: loaded once, stopped when nobody listens, and right."""

import asyncio
import json
import sys
import time
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from support.studio_server import Answer, Studio, running
from support.tiny_models import Shape, random_weights, write_model
from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.cli import main
from zeropoint.errors import MeasurementError
from zeropoint.studio.http.model_worker import ModelWorker
from zeropoint.studio.http.records import RECORD_BYTES, RecordReader, UnreadableRecord

T = TypeVar("T")
TENSOR = "blk.1.ffn_down.weight"
ROW, COLUMN = 7, 100
TEXT = "the rain in spain 42 return x [ 0 ] + 1 ; " * 60


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    root = tmp_path_factory.mktemp("worker")
    weights = random_weights(Shape("llama"), seed=0)[TENSOR].copy()
    weights[ROW, COLUMN] = 30.0
    write_model(root / "loud.gguf", format="F32", changes={TENSOR: weights})
    weights[ROW, COLUMN] = 0
    write_model(root / "zeroed.gguf", format="F32", changes={TENSOR: weights})
    write_long_tokens(root / "loud.gguf", root / "long.gguf")
    with running(root) as found:
        yield found


def write_long_tokens(source: Path, target: Path) -> None:
    """Write the same model with tokens of 1.2 MB each, which a valid file may have."""
    with open_checkpoint(source) as model:
        metadata = dict(model.metadata)
        tokens = list(metadata["tokenizer.ggml.tokens"])
        metadata["tokenizer.ggml.tokens"] = StringArray.of(
            [text if i < 262 else f"{i}{'z' * 1_200_000}" for i, text in enumerate(tokens)]
        )
        new = [NewTensor(info.name, info.shape, info.format) for info in model.tensors.values()]
        with create_checkpoint(target, new, metadata) as writer:
            for info in model.tensors.values():
                writer.write(info.name, model.read(info.name))


def records(answer: Answer) -> list[dict[str, Any]]:
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in unchunked(answer).splitlines()]


def unchunked(answer: Answer) -> bytes:
    if answer.headers.get("transfer-encoding") != "chunked":
        return answer.body
    rest, found = answer.body, b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        found += rest[: int(size, 16)]
        rest = rest[int(size, 16) + 2 :]
    return found


def say(studio: Studio, *names: str, **words: object) -> list[dict[str, Any]]:
    asked = {"models": [studio.id_of(name) for name in names], "talk": "1", "text": "the rain",
             "tokens": 6, "seed": 3, "temperature": 1.0, **words}  # fmt: skip
    return records(studio.post("/api/chat", json.dumps(asked).encode()))


def ids(found: list[dict[str, Any]], side: int) -> list[int]:
    return [record["id"] for record in found if record.get("side") == side and "id" in record]


def test_both_sides_answer_with_the_same_seed_and_load_once(studio: Studio) -> None:
    first = say(studio, "loud.gguf", "loud.gguf")
    assert ids(first, 0) == ids(first, 1) and len(ids(first, 0)) == 6
    assert [record["side"] for record in first if "finished" in record] == [0, 1]
    second = say(studio, "loud.gguf", "loud.gguf", talk="2")
    assert ids(second, 0) == ids(first, 0)
    assert any("loading" in record for record in first)
    assert not any("loading" in record for record in second)
    other = say(studio, "loud.gguf", "zeroed.gguf", talk="3", seed=4)
    assert ids(other, 0) != ids(first, 0)
    assert ids(other, 0) != ids(other, 1)


def test_a_weight_taken_out_is_what_measure_says_of_a_file_without_it(
    studio: Studio, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text(TEXT)
    words = ["measure", str(studio.root / "zeroed.gguf"), "--ref", str(studio.root / "loud.gguf"),
             "--text", str(tmp_path / "text.txt"), "--ctx", "256", "--chunks", "2", "--run",
             str(tmp_path / "run"), "-q", "--progress", "none"]  # fmt: skip
    assert main(words) == 0
    measured = json.loads((tmp_path / "run" / "run.json").read_text())["results"]
    names = studio.routes.shelf.open(studio.root / "loud.gguf").names
    path = f"/api/models/{studio.id_of('loud.gguf')}/tensors/{names.index(TENSOR)}/ablate"
    asked = {"row": ROW, "column": COLUMN, "text": TEXT, "prompt": "the rain"}
    found = records(studio.post(path, json.dumps(asked).encode()))[-1]
    assert found["value"] == 30.0
    assert found["positions"] == measured["tokens"]
    assert found["kl"] > 1e-6
    assert found["kl"] == pytest.approx(measured["kl"]["mean"], rel=1e-12)
    assert found["top1"] == pytest.approx(measured["top1"], rel=1e-12)
    asked["column"] = COLUMN + 1
    other = records(studio.post(path, json.dumps(asked).encode()))[-1]
    assert other["kl"] < found["kl"], "the model was put back as it was, and the weight counts"
    assert not np.isclose(other["kl"], found["kl"])


def test_what_goes_wrong_is_the_last_line(studio: Studio) -> None:
    path = f"/api/models/{studio.id_of('loud.gguf')}/tensors/0/ablate"
    asked = {"row": 0, "column": 0, "text": "short", "prompt": "the rain"}
    found = records(studio.post(path, json.dumps(asked).encode()))
    assert "shorter than one chunk" in found[-1]["error"]
    for wrong in ({"row": 10**9}, {"column": -1}, {"prompt": ""}, {"row": "0"}):
        answer = studio.post(path, json.dumps(asked | wrong).encode())
        assert answer.status == 400


def test_who_leaves_stops_the_work(studio: Studio) -> None:
    asked = {"models": [studio.id_of("loud.gguf")], "talk": "4", "text": "the rain",
             "tokens": 2048, "seed": 0, "temperature": 1.0}  # fmt: skip
    body = json.dumps(asked).encode()
    head = (
        f"POST /api/chat HTTP/1.1\r\nHost: {studio.host}\r\nCookie: {studio.cookie[1]}\r\n"
        f"Origin: http://{studio.host}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with studio.connect() as opened:
        opened.sendall(head.encode() + body)
        while b'"id"' not in opened.recv(1 << 16):
            pass
    started = time.monotonic()
    assert len(ids(say(studio, "loud.gguf", talk="5"), 0)) == 6
    assert time.monotonic() - started < 8


def test_a_process_that_died_is_said_and_replaced(studio: Studio) -> None:
    say(studio, "loud.gguf", talk="6", tokens=1)
    process = studio.routes.worker._process
    assert process is not None
    process.kill()
    time.sleep(0.3)
    assert len(ids(say(studio, "loud.gguf", talk="7"), 0)) == 6


def test_tokens_of_any_length_reach_the_page_cut_and_no_other_request(studio: Studio) -> None:
    """F7 of 2026-11: a record over 1 MiB sent every later answer to the wrong request."""
    before = ids(say(studio, "loud.gguf", talk="8"), 0)
    found = say(studio, "long.gguf", talk="9", temperature=2.0)
    assert len(ids(found, 0)) == 6
    assert 1000 < max(len(record.get("text", "")) for record in found) < 1100, "cut, and said so"
    assert ids(say(studio, "loud.gguf", talk="10"), 0) == before


STRAY = """
import json, os, struct, sys
def send(data):
    os.write(1, struct.pack(">I", len(data)) + data)
for line in sys.stdin:
    number = json.loads(line).get("id")
    for wrong in (number - 1, number + 1, None, "1"):
        send(json.dumps({"id": wrong, "record": {"text": "of another request"}}).encode())
    send(json.dumps({"id": number, "record": {"pid": os.getpid()}}).encode())
    send(json.dumps({"id": number, "end": True}).encode())
"""
UNREADABLE = {
    "no JSON": "struct.pack('>I', 4) + b'oops'",
    "no object": "struct.pack('>I', 2) + b'[]'",
    "nested too deep": "struct.pack('>I', 100_000) + b'[' * 100_000",
    "too long": f"struct.pack('>I', {RECORD_BYTES + 1})",
    "cut": "struct.pack('>I', 100) + b'{'",
}


def run_alone(what: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a thread of its own: a browser's test may have left a loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, what).result()


async def take(worker: ModelWorker) -> list[dict[str, Any]]:
    try:
        return [record async for record in worker.run("chat", {})]
    except MeasurementError as error:
        return [{"error": str(error)}]


def stand_in(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    """Let workers start this program in the place of compute.py."""
    real = asyncio.create_subprocess_exec

    async def start(*_: str, **options: Any) -> asyncio.subprocess.Process:
        return await real(sys.executable, "-c", source, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", start)


def test_answers_to_other_requests_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    async def twice() -> list[dict[str, Any]]:
        worker = ModelWorker()
        found = await take(worker) + await take(worker)
        await worker._kill(worker._process)  # type: ignore[arg-type]
        return found

    stand_in(monkeypatch, STRAY)
    first, second = run_alone(twice())
    assert first == second and "pid" in first, "the same process answered both, each its own"


@pytest.mark.parametrize("what", UNREADABLE)
def test_after_an_unreadable_answer_a_new_process_answers(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        worker = ModelWorker()
        stand_in(monkeypatch, f"import os, struct\nos.write(1, {UNREADABLE[what]})")
        failed = await take(worker)
        monkeypatch.undo()
        stand_in(monkeypatch, STRAY)
        answered = await take(worker)
        await worker._kill(worker._process)  # type: ignore[arg-type]
        return failed, answered

    failed, answered = run_alone(ask())
    assert "the next request starts a new one" in failed[0]["error"]
    assert "pid" in answered[0]


def test_a_read_that_is_cancelled_loses_no_byte() -> None:
    async def read() -> dict[str, Any]:
        stream = asyncio.StreamReader()
        reader = RecordReader(stream)
        stream.feed_data(b"\0\0\0\x08{")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(), 0.01)
        stream.feed_data(b'"a": 1}')
        return await reader.read()

    assert run_alone(read()) == {"a": 1}


def test_a_record_over_the_limit_is_refused_before_it_is_read() -> None:
    async def read() -> None:
        stream = asyncio.StreamReader()
        stream.feed_data((RECORD_BYTES + 1).to_bytes(4, "big"))
        await RecordReader(stream).read()

    with pytest.raises(UnreadableRecord, match="limit"):
        run_alone(read())
