"""A quick estimate of the speed of a model in memory, in `fast` mode."""

import time

import numpy as np

from zeropoint.models.base import LanguageModel
from zeropoint.results.bench import QuickSpeed

PROMPT_TOKENS, GENERATED_TOKENS = 128, 16
DEFAULT_REPETITIONS = 2


def measure_speed(model: LanguageModel) -> QuickSpeed:
    """Return tokens per second of a short prompt and a few generated tokens: the best of two runs.

    This is a figure for a table; `zeropoint bench` measures properly. The model's mode is restored.
    """
    mode = model.mode
    tokens = np.arange(PROMPT_TOKENS, dtype=np.int32) % model.vocab_size
    try:
        model.mode = "fast"
        prompts, steps = [], []
        for _ in range(DEFAULT_REPETITIONS):
            cache = model.cache(PROMPT_TOKENS + GENERATED_TOKENS)
            start = time.perf_counter()
            model.head(model.hidden(tokens, cache)[-1:])
            prompts.append(time.perf_counter() - start)
            start = time.perf_counter()
            for _ in range(GENERATED_TOKENS):
                model.head(model.hidden(tokens[:1], cache))
            steps.append(time.perf_counter() - start)
    finally:
        model.mode = mode
    return QuickSpeed(PROMPT_TOKENS / min(prompts), GENERATED_TOKENS / min(steps))
