"""The process that times one model; its memory and threads belong to that model alone.

Run as a module by `bench.BenchWorker` (see `zeropoint.child`). The first request is the job and is
answered with "load_seconds". Every later request is one repetition, answered with its seconds and
the peak memory so far. A failure is answered with "error". The process ends with its stdin.
"""

import importlib
import json
import random
import sys
from collections.abc import Sequence
from time import perf_counter
from typing import Any, BinaryIO, Protocol, TextIO

from zeropoint.child import take_stdout
from zeropoint.errors import MeasurementError, ZeropointError

GGML_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8}
WARM_UP_PROMPT, WARM_UP_STEPS = 32, 2  # tokens processed before anything is timed


class Engine(Protocol):
    """A loaded model that processes tokens."""

    vocab_size: int

    def reset(self) -> None:
        """Empty the cache."""

    def process(self, tokens: Sequence[int]) -> None:
        """Process tokens in one forward pass, and compute the logits after the last one."""


class Zeropoint:
    """Our compiled engine."""

    def __init__(self, job: dict[str, Any]) -> None:
        from zeropoint.checkpoints import open_model
        from zeropoint.models import CacheTypes, load_model

        checkpoint = open_model(job["model"])
        model = load_model(checkpoint, mode=job["mode"], threads=job["threads"])
        types = CacheTypes.parse(job["kv"], rotated=job["kv_rotation"])
        self._model = model if types.exact else model.with_cache_types(types)
        self.vocab_size = self._model.vocab_size
        self._cache = self._model.cache(job["prompt"] + job["generate"] + WARM_UP_PROMPT)

    def reset(self) -> None:
        self._cache.clear()

    def process(self, tokens: Sequence[int]) -> None:
        self._model.head(self._model.hidden(list(tokens), self._cache)[-1:])


def _llama_cache(kv: str) -> dict[str, int]:
    """Return llama-cpp-python's options for these types of the KV cache; none for "f32"."""
    if kv.lower() == "f32":
        return {}
    keys, _, values = kv.upper().partition("/")
    return {"type_k": GGML_TYPES[keys], "type_v": GGML_TYPES[values or keys]}


class LlamaCpp:
    """llama.cpp, through llama-cpp-python."""

    def __init__(self, job: dict[str, Any]) -> None:
        try:
            self._library = importlib.import_module("llama_cpp")
            self._model = self._library.Llama(
                job["model"],
                n_ctx=job["prompt"] + job["generate"] + WARM_UP_PROMPT,
                n_batch=512,
                n_ubatch=512,
                n_threads=job["threads"],
                n_threads_batch=job["threads"],
                verbose=False,
                **_llama_cache(job["kv"]),
            )
        except (ImportError, OSError, ValueError, RuntimeError) as error:
            raise MeasurementError(f"llama.cpp cannot load this model: {error}") from None
        self.vocab_size = self._model.n_vocab()

    def reset(self) -> None:
        self._model.reset()
        memory = self._library.llama_get_memory(self._model._ctx.ctx)
        self._library.llama_memory_clear(memory, True)

    def process(self, tokens: Sequence[int]) -> None:
        self._model.eval(list(tokens))


def repeat(engine: Engine, prompt: Sequence[int], generated: Sequence[int]) -> dict[str, float]:
    """Process a prompt, then single tokens after it; return the seconds of both."""
    engine.reset()
    start = perf_counter()
    if prompt:
        engine.process(prompt)
    prompt_end = perf_counter()
    for token in generated:
        engine.process([token])
    return {
        "prompt_seconds": prompt_end - start,
        "generation_seconds": perf_counter() - prompt_end,
    }


def serve(requests: TextIO, answers: BinaryIO) -> None:
    """Answer requests, line by line."""
    from zeropoint.kernels.machine import peak_memory_bytes

    def answer(**fields: object) -> None:
        answers.write(json.dumps(fields).encode() + b"\n")
        answers.flush()

    try:
        job = json.loads(requests.readline())
        start = perf_counter()
        engine: Engine = LlamaCpp(job) if job["engine"] == "llama.cpp" else Zeropoint(job)
        answer(load_seconds=perf_counter() - start)
        # The choice of tokens hardly matters, but equal tokens would always use the same experts.
        choose = random.Random(0)
        tokens = [choose.randrange(engine.vocab_size) for _ in range(job["prompt"])]
        generated = [choose.randrange(engine.vocab_size) for _ in range(job["generate"])]
        repeat(engine, tokens[:WARM_UP_PROMPT], generated[:WARM_UP_STEPS])
        for _ in requests:
            seconds = repeat(engine, tokens, generated)
            answer(**seconds, peak_memory_bytes=peak_memory_bytes())
    except ZeropointError as error:
        answer(error=str(error))


def main() -> None:
    """Serve stdin and stdout."""
    serve(sys.stdin, take_stdout())


if __name__ == "__main__":
    main()
