"""Times one model in a process of its own, so that its memory and threads are nobody else's.

Run as a module. Each line on stdin and on stdout is one JSON object: the job comes first and is
answered by "load_seconds"; every line after it asks for one repetition, answered by its seconds and
by the largest memory so far. What cannot be done is answered by "error". The end of stdin ends it.
"""

import importlib
import json
import os
import random
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any, Protocol, TextIO

from zeropoint.errors import MeasurementError, ZeropointError

WARM_PROMPT, WARM_STEPS = 32, 2  # tokens before anything is timed


class Engine(Protocol):
    """A loaded model that reads tokens."""

    vocab_size: int

    def reset(self) -> None:
        """Forget what was read."""

    def read(self, tokens: Sequence[int]) -> None:
        """Read tokens in one go, and give the logits after the last."""


class Zeropoint:
    """Our compiled engine."""

    def __init__(self, job: dict[str, Any]) -> None:
        from zeropoint.checkpoints import open_model
        from zeropoint.models import load_model

        checkpoint = open_model(job["model"])
        self._model = load_model(checkpoint, mode=job["mode"], threads=job["threads"])
        self.vocab_size = self._model.vocab_size
        self._cache = self._model.cache(job["prompt"] + job["generate"] + WARM_PROMPT)

    def reset(self) -> None:
        self._cache.clear()

    def read(self, tokens: Sequence[int]) -> None:
        self._model.head(self._model.hidden(list(tokens), self._cache)[-1:])


class LlamaCpp:
    """llama.cpp, through llama-cpp-python."""

    def __init__(self, job: dict[str, Any]) -> None:
        try:
            self._library = importlib.import_module("llama_cpp")
            self._model = self._library.Llama(
                job["model"],
                n_ctx=job["prompt"] + job["generate"] + WARM_PROMPT,
                n_batch=512,
                n_ubatch=512,
                n_threads=job["threads"],
                n_threads_batch=job["threads"],
                verbose=False,
            )
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise MeasurementError(f"llama.cpp cannot load this model: {error}") from None
        self.vocab_size = self._model.n_vocab()

    def reset(self) -> None:
        self._model.reset()
        memory = self._library.llama_get_memory(self._model._ctx.ctx)
        self._library.llama_memory_clear(memory, True)

    def read(self, tokens: Sequence[int]) -> None:
        self._model.eval(list(tokens))


def repeat(engine: Engine, prompt: Sequence[int], generated: Sequence[int]) -> dict[str, float]:
    """Read a prompt, then single tokens after it; return the seconds of both."""
    engine.reset()
    start = perf_counter()
    if prompt:
        engine.read(prompt)
    read = perf_counter()
    for token in generated:
        engine.read([token])
    return {"prompt_seconds": read - start, "generation_seconds": perf_counter() - read}


def answer(commands: TextIO, answers: TextIO) -> None:
    """Do what `commands` ask for, line by line."""
    from zeropoint.kernels.machine import peak_memory_bytes

    def say(**facts: object) -> None:
        answers.write(json.dumps(facts) + "\n")
        answers.flush()

    try:
        job = json.loads(commands.readline())
        start = perf_counter()
        engine: Engine = LlamaCpp(job) if job["engine"] == "llama.cpp" else Zeropoint(job)
        say(load_seconds=perf_counter() - start)
        # Which tokens hardly matters; all the same would always meet the same experts.
        choose = random.Random(0)
        tokens = [choose.randrange(engine.vocab_size) for _ in range(job["prompt"])]
        generated = [choose.randrange(engine.vocab_size) for _ in range(job["generate"])]
        repeat(engine, tokens[:WARM_PROMPT], generated[:WARM_STEPS])
        for _ in commands:
            seconds = repeat(engine, tokens, generated)
            say(**seconds, peak_memory_bytes=peak_memory_bytes())
    except ZeropointError as error:
        say(error=str(error))


def main() -> None:
    """Serve stdin and stdout; what a library prints goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    answer(sys.stdin, answers)


if __name__ == "__main__":
    main()
