"""How many tokens to guess at a time, from the measured times and acceptance.

A pass over a guess of n tokens yields the guessed tokens up to the first wrong one, and one token
more. If each is right with the probability a, independently, that makes

    E(n) = (1 − aⁿ⁺¹) / (1 − a)

tokens in the expected time p + q · n + d · n: a pass over one position takes p, a further position
q, and a guess d seconds. The n with the most tokens per second is chosen, which may be 0
(Leviathan, Kalman and Matias, "Fast inference from transformers via speculative decoding", 2023).
"""

from dataclasses import dataclass

MAX_LENGTH = 8
FIRST_LENGTH = 2  # until this many guesses were judged
MEMORY = 0.95  # weight of everything earlier, when a pass is reported
FIRST_PAUSE_TOKENS = 32  # without a guess where guesses do not pay; doubled each time
MAX_PAUSE_TOKENS = 512
MARGIN = 1.03  # guesses must promise this ratio of speeds, so that errors of timing cost nothing


@dataclass
class PassTimes:
    """Least squares of the line p + q · n through the times of passes, older ones fading away."""

    weight: float = 0.0
    lengths: float = 0.0
    squares: float = 0.0
    seconds: float = 0.0
    products: float = 0.0

    def add(self, length: int, seconds: float) -> None:
        """Add a pass over a guess of `length` tokens."""
        for name, value in (
            ("weight", 1.0), ("lengths", length), ("squares", length * length),
            ("seconds", seconds), ("products", length * seconds),
        ):  # fmt: skip
            setattr(self, name, MEMORY * getattr(self, name) + value)

    def line(self) -> tuple[float, float]:
        """Return p and q, at least 0. Passes of one length tell nothing of q, which is 0 then."""
        spread = self.weight * self.squares - self.lengths**2
        if spread <= 1e-9 * max(self.squares, 1.0) * self.weight:
            return self.seconds / max(self.weight, 1e-9), 0.0
        slope = (self.weight * self.products - self.lengths * self.seconds) / spread
        slope = max(slope, 0.0)
        return max((self.seconds - slope * self.lengths) / self.weight, 0.0), slope


class DraftLength:
    """Chooses the length of each guess, from the times and the acceptance seen so far."""

    def __init__(self) -> None:
        self._passes = PassTimes()
        self._right = self._judged = 0.0  # guessed tokens that were right, and that were compared
        self._guess_seconds = self._guessed = 0.0
        self._pause = FIRST_PAUSE_TOKENS
        self._silent = 0  # tokens until guesses are tried again

    @property
    def acceptance(self) -> float:
        """The probability that a guessed token is right, if those before it are."""
        return (self._right + 0.5) / (self._judged + 1)

    def choose(self) -> int:
        """Return how many tokens to guess now."""
        if self._silent or not self._passes.weight:  # the first pass is timed without a guess
            return 0
        if self._judged < FIRST_LENGTH:
            return FIRST_LENGTH
        best = max(range(MAX_LENGTH + 1), key=self._speed)
        if best and self._speed(best) >= MARGIN * self._speed(0):
            self._pause = FIRST_PAUSE_TOKENS
            return best
        self._silent = self._pause
        self._pause = min(2 * self._pause, MAX_PAUSE_TOKENS)
        self._right, self._judged = self._right / self._judged, 1.0  # then one more is judged
        return 0

    def predicted_speedup(self) -> float:
        """Return tokens per second at the best length over those without guesses."""
        return max(map(self._speed, range(MAX_LENGTH + 1))) / self._speed(0)

    def guessed(self, tokens: int, seconds: float) -> None:
        """Note what guessing took."""
        self._guess_seconds = MEMORY * self._guess_seconds + seconds
        self._guessed = MEMORY * self._guessed + tokens

    def report(self, proposed: int, accepted: int, seconds: float) -> None:
        """Note a pass over a guess of `proposed` tokens, which may be none."""
        self._passes.add(proposed, seconds)
        self._silent = max(self._silent - 1, 0)
        if proposed:
            self._right = MEMORY * self._right + accepted
            self._judged = MEMORY * self._judged + min(accepted + 1, proposed)

    def _speed(self, length: int) -> float:
        first, further = self._passes.line()
        guess = self._guess_seconds / self._guessed if self._guessed else 0.0
        a = min(self.acceptance, 0.999)
        tokens = (1 - a ** (length + 1)) / (1 - a)
        return tokens / max(first + (further + guess) * length, 1e-9)
