"""Language models whose answers are known: logits by a formula of the token, no weights."""

import numpy as np
from numpy.typing import NDArray


class FakeModel:
    """Gives the token after `t` the logits of a fixed random table, plus noise of a given size."""

    threads = 1

    def __init__(self, vocab: int = 50, *, noise: float = 0.0, seed: int = 0) -> None:
        generator = np.random.default_rng(0)
        table = generator.normal(0, 2, (vocab, vocab))
        table += noise * np.random.default_rng(seed + 1).normal(0, 1, table.shape)
        self.table = table.astype(np.float32)

    @property
    def vocab_size(self) -> int:
        return int(self.table.shape[1])

    def hidden(self, tokens: NDArray[np.int32]) -> NDArray[np.float32]:
        return np.eye(len(self.table), dtype=np.float32)[tokens]

    def head(self, rows: NDArray[np.float32], tokens: range | None = None) -> NDArray[np.float32]:
        part = slice(None) if tokens is None else slice(tokens.start, tokens.stop)
        return (rows @ self.table)[:, part]


def random_tokens(n: int, vocab: int = 50, seed: int = 5) -> NDArray[np.int32]:
    return np.random.default_rng(seed).integers(0, vocab, n, dtype=np.int32)
