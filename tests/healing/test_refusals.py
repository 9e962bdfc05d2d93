"""Text that a reference cannot predict is refused before anything is trained on it."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from zeropoint.calibration.chunks import Chunk
from zeropoint.errors import MeasurementError
from zeropoint.healing.refusals import check_text

WORDS = 500
TOKENS = 256


def successor_model(share: float, words: int = WORDS) -> Any:
    """A model of the words "0", "1", …, for which n + 1 follows n with the probability `share`."""
    other = np.log((1 - share) / (words - 1))

    def head(states: np.ndarray) -> np.ndarray:
        logits = np.full((len(states), words), other, np.float32)
        logits[np.arange(len(states)), (states[:, 0].astype(int) + 1) % words] = np.log(share)
        return logits

    tokenizer = SimpleNamespace(
        decode=lambda ids: " ".join(map(str, ids)), encode=lambda text: list(map(int, text.split()))
    )
    return SimpleNamespace(
        head=head,
        hidden=lambda tokens: np.asarray(tokens, np.float32)[:, None],
        tokenizer=tokenizer,
    )


def check(model: Any, tokens: np.ndarray) -> None:
    chunk = Chunk("mine.txt", tokens.astype(np.int32))
    check_text(model, chunk, model.hidden(tokens))


IN_ORDER = np.arange(100, 100 + TOKENS)
SHUFFLED = np.random.default_rng(1).permutation(IN_ORDER)


@pytest.mark.parametrize("share", [0.9, 1 / 60])
def test_text_whose_order_helps_is_accepted_even_if_it_is_hard(share: float) -> None:
    check(successor_model(share), IN_ORDER)


def test_words_in_random_order_are_refused() -> None:
    with pytest.raises(MeasurementError, match="after its words are shuffled"):
        check(successor_model(1 / 60), SHUFFLED)


def test_text_that_the_reference_does_not_know_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"mine.txt is \d,\d{3}, so this is no text"):
        check(successor_model(1 / 60, words=5000), SHUFFLED)


def test_a_text_of_few_words_is_not_judged_by_their_order() -> None:
    model = successor_model(1 / 60)
    model.tokenizer.decode = lambda ids: "".join(map(chr, ids))
    check(model, SHUFFLED)
