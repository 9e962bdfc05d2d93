"""A short causal convolution of each channel, as recurrent mixers use it."""

import numpy as np

from zeropoint.formats import F32


def convolve(inputs: F32, weights: F32, last: F32) -> F32:
    """Return y_p = Σ_t w_t · x_{p − kernel + 1 + t} of each channel: (n, channels) float32.

    `inputs` (n, channels), `weights` (channels, kernel). `last` (kernel − 1, channels) holds the
    inputs before the first position; afterwards it holds the last ones.
    """
    kernel, count = weights.shape[1], len(inputs)
    seen = np.concatenate([last, inputs])
    out = np.zeros_like(inputs)
    for tap in range(kernel):
        out += seen[tap : tap + count] * weights[:, tap]
    last[:] = seen[count:]
    return out
