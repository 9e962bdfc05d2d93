"""An engine process without a model: the text of a prompt is a script of what it sends.

    python scripted_engine.py OPTIONS      started by `EngineClient` in place of the engine

A prompt that is a JSON object may have: `pieces` (texts), `reason`, `stop`, `ids`, `tokens`
(reports of log-probabilities for each piece), `wait` (seconds before each piece), `error` (fields
of an error event), `crash` (end the process instead of ending the text), `progress`, and `ending`
(of the rendered prompt).
Other prompts are answered by "Hello world".
"""

import json
import os
import sys
import threading
import time
from typing import Any

from zeropoint.server.records import pack, read_record

LOCK = threading.Lock()
CANCELLED: set[int] = set()
RUNNING: set[int] = set()
FACTS = {
    "name": "scripted.gguf", "n_ctx_train": 4096, "n_vocab": 300, "n_embd": 8, "n_params": 1000,
    "size": 2000, "chat_template": "", "bos_token": "<s>", "eos_token": "</s>", "slots": 4,
    "n_ctx": 1024, "mode": "exact", "sampling": {"temperature": 0.8}, "infill": True,
}  # fmt: skip


def send(record: dict[str, Any]) -> None:
    with LOCK:
        sys.stdout.buffer.write(pack(record))
        sys.stdout.buffer.flush()


def script_of(prompt: dict[str, Any]) -> dict[str, Any]:
    text = prompt.get("text") or prompt.get("prefix") or ""
    if prompt["kind"] == "chat":
        text = prompt["messages"][-1]["content"]
    try:
        script = json.loads(text)
    except ValueError:
        script = None
    return script if isinstance(script, dict) else {"pieces": ["Hello", " world"]}


def play(request: dict[str, Any]) -> None:
    id, script = request["submit"], script_of(request["prompt"])

    def event(kind: str, /, **more: Any) -> None:
        if id not in CANCELLED:
            send({"events": [{"id": id, "type": kind, **more}]})

    if "error" in script:
        event("error", **script["error"])
        return
    RUNNING.add(id)
    event("begin", ending=script.get("ending", ""), prompt_tokens=7)
    if script.get("progress"):
        event("progress", done=3)
    for at, piece in enumerate(script.get("pieces", [])):
        time.sleep(script.get("wait", 0))
        reports = {"tokens": [script["tokens"][at]]} if "tokens" in script else {}
        event("text", text=piece, **reports)
        if id in CANCELLED:
            break
    if script.get("crash"):
        os._exit(3)
    RUNNING.discard(id)
    event(
        "end", reason=script.get("reason", "stop"), stop=script.get("stop", ""), prompt_tokens=7,
        cached_tokens=3, tokens=len(script.get("pieces", [])), ids=script.get("ids", []),
        prompt_ms=10.0, predicted_ms=20.0,
    )  # fmt: skip


def answer(request: dict[str, Any]) -> None:
    match request["name"]:
        case "tokenize":
            tokens = [{"id": byte, "bytes": [byte]} for byte in request["content"].encode()]
            send({"answer": request["call"], "value": tokens})
        case "detokenize":
            text = bytes(request["tokens"]).decode("utf-8", "replace")
            send({"answer": request["call"], "value": text})
        case "count":
            send({"answer": request["call"], "value": 7})
        case "render":
            send({"answer": request["call"], "value": json.dumps(request["messages"])})
        case "state":
            slots = [{"id": at, "is_processing": at < len(RUNNING - CANCELLED)} for at in range(4)]
            names = (
                "prompt_tokens_total prompt_seconds_total cached_tokens_total n_decode_total"
                " tokens_predicted_total tokens_predicted_seconds_total busy_slots_total"
                " requests_total tokens_drafted_total tokens_accepted_total"
            ).split()
            counts = dict.fromkeys(names, 1) | {"requests_cancelled_total": len(CANCELLED)}
            value = {"counts": counts, "waiting": 0, "idle_caches": 0, "idle_cache_bytes": 0}
            send({"answer": request["call"], "value": {**value, "slots": slots}})


def main() -> None:
    options = json.loads(sys.argv[1])
    time.sleep(options.get("load_seconds", 0))
    if options.get("failed"):
        send({"failed": options["failed"]})
        return
    send({"ready": FACTS | options.get("facts", {})})
    while (request := read_record(sys.stdin.buffer)) is not None:
        if "cancel" in request:
            CANCELLED.add(request["cancel"])
        elif "call" in request:
            answer(request)
        else:
            threading.Thread(target=play, args=(request,), daemon=True).start()
    os._exit(0)


if __name__ == "__main__":
    main()
