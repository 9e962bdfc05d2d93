"""How fast a model that is in memory reads and writes, in the mode that generation uses."""

import time

import numpy as np

from zeropoint.models.base import LanguageModel
from zeropoint.results.bench import QuickSpeed

PROMPT, GENERATED = 128, 16  # tokens


def measure_speed(model: LanguageModel) -> QuickSpeed:
    """Time a prompt and a few generated tokens in `fast` mode; the better of two tries each.

    A figure for a table and no benchmark: `zeropoint bench` is one. The model's mode is put back.
    """
    mode = model.mode
    tokens = np.arange(PROMPT, dtype=np.int32) % model.vocab_size
    try:
        model.mode = "fast"
        prompts, steps = [], []
        for _ in range(2):
            cache = model.cache(PROMPT + GENERATED)
            start = time.perf_counter()
            model.head(model.hidden(tokens, cache)[-1:])
            prompts.append(time.perf_counter() - start)
            start = time.perf_counter()
            for _ in range(GENERATED):
                model.head(model.hidden(tokens[:1], cache))
            steps.append(time.perf_counter() - start)
    finally:
        model.mode = mode
    return QuickSpeed(PROMPT / min(prompts), GENERATED / min(steps))
