"""Caches of finished texts: a new prompt that begins like one of them continues its cache."""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

from zeropoint.models import Cache
from zeropoint.models.sequences import common_prefix_length

MIN_SHARED_TOKENS = 8  # a shorter common prefix is processed again
MAX_LOST_TOKENS = 256  # a cache that would lose more than these is copied instead


@dataclass(eq=False)
class FilledCache:
    """A cache of one sequence, and the tokens whose states it holds."""

    tokens: list[int]
    cache: Cache

    @property
    def bytes(self) -> int:
        """Bytes that are allocated."""
        return sum(array.nbytes for state in self.cache.states for array in state.arrays)


class PrefixCaches:
    """The caches that no running text uses, the most recently used last, within a byte budget."""

    def __init__(self, make: Callable[[], Cache], budget_bytes: int) -> None:
        self._make = make
        self._budget_bytes = budget_bytes
        self._idle: list[FilledCache] = []

    @property
    def bytes(self) -> int:
        """Bytes of all idle caches."""
        return sum(idle.bytes for idle in self._idle)

    def __len__(self) -> int:
        """Return the number of idle caches."""
        return len(self._idle)

    def take(
        self,
        prompt: Sequence[int],
        *,
        reuse: bool = True,
        running: Sequence[FilledCache] = (),
    ) -> tuple[Cache, int]:
        """Return a cache for a prompt, and how many of the prompt's tokens it holds already.

        It is the one with the longest common prefix; one of a `running` text is copied. At least
        the last token is left to process.
        """
        best, cut = self._best(prompt, [*running, *self._idle]) if reuse else (None, 0)
        if best is None:
            return self._make(), 0
        cache = best.cache
        if best in running:
            cache = deepcopy(cache)
            cache.truncate(cut)
            return cache, cut
        self._idle.remove(best)
        if len(best.tokens) - cut > MAX_LOST_TOKENS and 2 * best.bytes <= self._budget_bytes:
            self._idle.append(best)
            cache = deepcopy(cache)
        cache.truncate(cut)
        return cache, cut

    def give_back(self, cache: Cache, tokens: list[int]) -> None:
        """Keep a cache with the states of `tokens`; the least recently used ones are dropped."""
        if len(tokens) < MIN_SHARED_TOKENS:
            return
        self._idle.append(FilledCache(tokens, cache))
        while self._idle and self.bytes > self._budget_bytes:
            self._idle.pop(0)

    def _best(
        self, prompt: Sequence[int], filled: Sequence[FilledCache]
    ) -> tuple[FilledCache | None, int]:
        """Return the cache with the longest common prefix, of equal ones the last."""
        best, longest = None, MIN_SHARED_TOKENS - 1
        for one in reversed(filled):
            common = common_prefix_length(one.tokens, prompt[:-1])
            if common > longest and (cut := one.cache.last_cut(common)) > longest:
                best, longest = one, cut
        return best, longest
