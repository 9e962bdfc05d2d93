"""The small language model of the walk, in a browser: it writes, stammers, and answers."""

from typing import Any

import pytest

from support.studio_pages import BOUND, MEASURE, Example, choose, number, press, turn, until

MIN_WORDS_PER_SECOND = 10
WRITTEN_AT_ONCE = 20
COMPUTED = "document.documentElement.dataset.computing === undefined"
CHANGE_BITS = """() => { const bits = document.querySelector("#stammer [data-control=bits]");
  bits.value = bits.value === "4" ? 3 : 4;
  bits.dispatchEvent(new Event("change")); }"""
WRITE = """() => document.querySelector("#stammer [data-control=write]").click()"""


@pytest.fixture
def page(new_page: Any, example: Example) -> Any:
    return new_page(example.walk)


def odd_words(page: Any) -> int:
    return int(page.locator("#stammer .story .odd").count())


def test_at_16_bits_it_writes_stories_and_has_lost_nothing(page: Any) -> None:
    assert number(page, "#stammer", "kl") == 0
    assert number(page, "#stammer", "same") == 1
    for _ in range(5):
        press(page, "#stammer", "write")
    text = page.locator("#stammer .story").inner_text()
    assert len(text.split()) > 100
    assert odd_words(page) < 0.03 * len(text.split())


def test_fewer_bits_lose_more_and_2_bits_stammer(page: Any) -> None:
    losses = []
    for bits in (6, 4, 3, 2):
        turn(page, "#stammer", "bits", bits)
        until(page, COMPUTED)
        losses.append(number(page, "#stammer", "kl"))
    assert losses == sorted(losses)
    assert losses[0] < 0.01 and losses[-1] > 0.5
    before = odd_words(page)
    for _ in range(3):
        press(page, "#stammer", "write")
    assert odd_words(page) > before + 10
    assert page.locator("#stammer .story .where").all_inner_texts()[-1] == "2 bits"


def test_a_zero_point_and_smaller_blocks_lose_less_at_3_bits(page: Any) -> None:
    turn(page, "#stammer", "bits", 3)
    until(page, COMPUTED)
    symmetric = number(page, "#stammer", "kl")
    choose(page, "#stammer", "rule", "asym")
    until(page, COMPUTED)
    assert number(page, "#stammer", "kl") < symmetric
    choose(page, "#stammer", "rule", "sym")
    choose(page, "#stammer", "block", 0)
    until(page, COMPUTED)
    assert number(page, "#stammer", "kl") > symmetric


def test_it_writes_ten_words_a_second_and_follows_the_slider(
    new_page: Any, example: Example
) -> None:
    page = new_page(example.walk, bypass_csp=True)
    writing = min(page.evaluate(MEASURE, WRITE))
    assert writing < 1000 * WRITTEN_AT_ONCE / MIN_WORDS_PER_SECOND
    # Quantizing and reading the story again are done in slices, so that the slider stays free.
    assert min(page.evaluate(MEASURE, CHANGE_BITS)) < BOUND
    until(page, COMPUTED)


def test_the_end_resolves_the_guess(page: Any) -> None:
    choose(page, "#stammer", "guess", 6)
    page.locator("#answer").scroll_into_view_if_needed()
    page.locator("#answer [data-name=breaks]").wait_for(timeout=60_000)
    found = number(page, "#answer", "breaks")
    told = page.locator("#answer .card").inner_text()
    assert told == (
        f"It stops making sense at {found:g} bits. You guessed 6: it holds on longer than that."
    )
    bits = page.locator("#answer .levels li").evaluate_all("e => e.map(x => x.dataset.bits)")
    assert bits == ["16", "8", "7", "6", "5", "4", "3", "2"]
    story = page.locator("#answer .levels .story").all_inner_texts()
    assert story[:6] == story[:1] * 6, "the text says: down to 4 bits the same story"
    assert story[6] != story[0] and found == 2, "another one at 3 bits, nothing at 2"
    choose(page, "#answer", "guess", int(found))
    assert "You guessed it." in page.locator("#answer .card").inner_text()
