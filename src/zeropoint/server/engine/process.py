"""The engine process: requests come on stdin, events go to stdout, as records.

    {"submit": id, "prompt": {…}, …}   a text to generate; events carry its id
    {"cancel": id}                     drop it; nothing more is sent about it
    {"call": id, "name": …, …}         a question with one answer: tokenize, detokenize, render,
                                       state

A thread reads requests, and a second one renders and tokenizes prompts, so that neither waits for
the model, nor the model for them. The main thread computes.
"""

import dataclasses
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from zeropoint.checkpoints import open_model
from zeropoint.child import take_stdout
from zeropoint.errors import MissingPackage, ZeropointError
from zeropoint.models import CacheTypes, LanguageModel, load_model
from zeropoint.models.speculation import draft_maker
from zeropoint.server.engine.memory import fit_context
from zeropoint.server.engine.model_facts import describe_model
from zeropoint.server.engine.prompts import PromptReader, RefusedPrompt
from zeropoint.server.engine.scheduler import Scheduler
from zeropoint.server.engine.text import TextWork, failure
from zeropoint.server.records import Record, pack, read_record


class EngineLoop:
    """The model, its scheduler, and the two threads that feed it."""

    def __init__(self, model: LanguageModel, scheduler: Scheduler, reader: PromptReader) -> None:
        self.model = model
        self.scheduler = scheduler
        self.reader = reader
        self._unread: queue.SimpleQueue[Record] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[TextWork | Callable[[], None]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._lock = threading.Lock()

    def serve(self, requests: BinaryIO, answers: BinaryIO) -> None:
        """Answer requests until they end."""

        def send(record: Mapping[str, Any]) -> None:
            with self._lock:
                answers.write(pack(record))
                answers.flush()

        for target in (lambda: self._listen(requests), lambda: self._prepare(send)):
            threading.Thread(target=target, daemon=True).start()
        while True:
            self._take()
            events = self.scheduler.step() if self.scheduler.busy else []
            if events:
                send({"events": events})

    def _listen(self, requests: BinaryIO) -> None:
        while (record := read_record(requests)) is not None:
            if "cancel" in record:
                id = int(record["cancel"])
                self._cancelled.add(id)
                self._ready.put(partial(self.scheduler.cancel, id))
            self._unread.put(record)
        os._exit(0)  # the server has ended, and so does every text

    def _forget(self, id: int) -> None:
        """Cancel again: the prompt may have been prepared meanwhile. Nothing follows after this."""
        self.scheduler.cancel(id)
        self._cancelled.discard(id)

    def _prepare(self, send: Callable[[Mapping[str, Any]], None]) -> None:
        while True:
            request = self._unread.get()
            if "cancel" in request:
                self._ready.put(partial(self._forget, int(request["cancel"])))
                continue
            if "call" in request:
                send({"answer": request["call"], **self._answer(request)})
                continue
            id = int(request["submit"])
            if id in self._cancelled:
                continue
            try:
                work, ending = self.reader.work(request)
            except RefusedPrompt as error:
                send({"events": [error.event(id)]})
            except MissingPackage as error:
                event = failure(id, 501, "not_supported_error", str(error))
                send({"events": [event]})
            except (ZeropointError, ValueError, TypeError, KeyError, RecursionError) as error:
                message = f"{type(error).__name__}: {error}"
                send({"events": [failure(id, 400, "invalid_request_error", message)]})
            else:
                begun = {"id": id, "type": "begin", "ending": ending}
                send({"events": [{**begun, "prompt_tokens": len(work.prompt)}]})
                self._ready.put(work)

    def _take(self) -> None:
        """Take new work and cancellations; wait for them if there is nothing to compute."""
        while True:
            try:
                item = self._ready.get(block=not self.scheduler.busy)
            except queue.Empty:
                return
            if isinstance(item, TextWork):
                if item.id not in self._cancelled:
                    self.scheduler.add(item)
            else:
                item()

    def _answer(self, request: Mapping[str, Any]) -> Record:
        calls: dict[str, Callable[[Mapping[str, Any]], Any]] = {
            "tokenize": self._tokenize,
            "detokenize": self._detokenize,
            "render": lambda request: self.reader.chat(request).text,
            "count": lambda request: len(self.reader.tokens(request["prompt"])[0]),
            "state": lambda request: self._state(),
        }
        try:
            return {"value": calls[request["name"]](request)}
        except RefusedPrompt as error:
            return {"error": error.event(0)}
        except MissingPackage as error:
            return {"error": failure(0, 501, "not_supported_error", str(error))}
        except (ZeropointError, ValueError) as error:
            return {"error": failure(0, 400, "invalid_request_error", str(error))}

    def _tokenize(self, request: Mapping[str, Any]) -> list[Any]:
        tokenizer = self.model.tokenizer
        ids = tokenizer.encode(
            request["content"], special=request["parse_special"], ends=request["add_special"]
        )
        return [{"id": one, "bytes": list(tokenizer.piece(one, special=True))} for one in ids]

    def _detokenize(self, request: Mapping[str, Any]) -> str:
        return self.model.tokenizer.decode(request["tokens"], special=True)

    def _state(self) -> Record:
        scheduler = self.scheduler
        slots = [
            {"id": at, "is_processing": False}
            if reply is None
            else {
                "id": at,
                "is_processing": True,
                "n_prompt_tokens": len(reply.work.prompt),
                "n_past": int(reply.cache.lengths[0]),
                "n_decoded": len(reply.tokens),
            }
            for at, reply in enumerate(list(scheduler.slots))
        ]
        return {
            "counts": dataclasses.asdict(scheduler.counts),
            "waiting": len(scheduler.waiting),
            "idle_caches": len(scheduler.caches),
            "idle_cache_bytes": scheduler.caches.bytes,
            "slots": slots,
        }


def start(options: Mapping[str, Any]) -> tuple[EngineLoop, Record]:
    """Load the model; return the engine and what it reports when it is ready."""
    checkpoint = open_model(options["model"])
    types = CacheTypes.parse(options.get("kv", "f32"), rotated=options.get("kv_rotation", True))
    model = load_model(checkpoint, mode=options["mode"], threads=options["threads"])
    model = model if types.exact else model.with_cache_types(types)
    drafts = draft_maker(options.get("draft", "off"), model)  # first, for it takes memory too
    slots = int(options["parallel"])
    budget = int(options["cache_bytes"])
    capacity = fit_context(model, slots, options["context"], budget)
    scheduler = Scheduler(
        model,
        slots=slots,
        capacity=capacity,
        cache_budget_bytes=budget,
        drafts=drafts,
    )
    reader = PromptReader(model, capacity)
    facts = describe_model(model, Path(options["model"]).name)
    ready = {
        **facts,
        "slots": slots,
        "n_ctx": capacity,
        "mode": options["mode"],
        "sampling": dataclasses.asdict(reader.defaults),
        "infill": reader.infill_tokens is not None,
    }
    return EngineLoop(model, scheduler, reader), ready


def main(arguments: Sequence[str]) -> None:
    """Load the model that the options name, report it, and serve."""
    answers = take_stdout()
    try:
        engine, ready = start(json.loads(arguments[0]))
    except (ZeropointError, OSError, MemoryError) as error:
        message = str(error) or "out of memory: the model does not fit into the free memory"
        answers.write(pack({"failed": message}))
        answers.flush()
        return
    answers.write(pack({"ready": ready}))
    answers.flush()
    engine.serve(sys.stdin.buffer, answers)


if __name__ == "__main__":
    main(sys.argv[1:])
