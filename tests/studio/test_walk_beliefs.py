"""What a reader should believe after each figure of the walk, shown by its state as it opens.

One sentence per figure, and a test of the numbers that the figure shows before anything is turned,
on the example page of the repository (Gemma 3 270M) unless a test says otherwise. The figures of
the small language model are in test_walk_stories.py.
"""

import base64
from typing import Any

import numpy as np
import pytest

from support.docs_pages import DOCS
from support.studio_pages import number, rows
from zeropoint.studio.data.walk import example


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    """The page of the repository; no test here turns anything."""
    context = browser.new_context(
        offline=True, viewport={"width": 1200, "height": 900}, reduced_motion="reduce"
    )
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    opened.goto(f"file://{DOCS / 'walk.html'}")
    opened.wait_for_selector("html[data-ready]", state="attached")
    yield opened
    context.close()


def column(page: Any, figure: str, index: int) -> np.ndarray:
    return np.array([float(row[index]) for row in rows(page, figure) if row[index] != "–"])


def test_1_the_size_is_parameters_times_bits(page: Any) -> None:
    bits, size = column(page, "#f1", 1), column(page, "#f1", 2)
    plain = size / bits * 8  # parameters
    assert np.all(np.abs(plain / number(page, "#f1", "parameters") - 1) < 0.001)


def test_2_a_few_of_the_products_make_most_of_the_sum(page: Any) -> None:
    terms = np.sort(np.abs(column(page, "#f2", 3)))[::-1]
    assert terms[: len(terms) // 10].sum() > 0.4 * terms.sum()


def test_3_a_number_is_a_sign_an_exponent_and_a_significand(page: Any) -> None:
    assert page.locator("#f3 .bit").count() == 8, "it begins with few bits"
    sign, exponent, significand = (row[1] for row in rows(page, "#f3")[:3])
    magnitude = (1 + int(significand, 2) / 8) * 2.0 ** (int(exponent, 2) - 7)
    assert number(page, "#f3", "stored") == (-magnitude if sign == "1" else magnitude)


def test_4_the_step_doubles_with_every_power_of_two(page: Any) -> None:
    assert number(page, "#f4", "stored") == 1.0
    up = number(page, "#f4", "above") - 1.0
    down = 1.0 - number(page, "#f4", "below")
    assert up == 2 * down, "1 is a power of two"


def test_5_half_of_all_float32_numbers_are_within_1(page: Any) -> None:
    assert number(page, "#f5", "share") == pytest.approx(0.5, abs=0.01)
    assert number(page, "#f5", "largest") < 1, "so are all weights of the tensor"


def test_6_more_exponent_bits_reach_further_and_more_significand_bits_are_finer(page: Any) -> None:
    found = {row[0]: row for row in rows(page, "#f6")}
    largest, step = ({name: float(row[i]) for name, row in found.items()} for i in (4, 7))
    assert largest["BF16"] > largest["F16"] and step["BF16"] > step["F16"]
    assert largest["FP8_E5M2"] > largest["FP8_E4M3"] and step["FP8_E5M2"] > step["FP8_E4M3"]


def test_7_most_weights_are_near_zero_and_a_few_far_out(page: Any) -> None:
    counts = column(page, "#f7", 2)
    middle = len(counts) // 4
    assert counts[middle:-middle].sum() > 0.95 * counts.sum()
    assert abs(number(page, "#f7", "largest")) > 8 * number(page, "#f7", "rms")


def test_8_with_a_scale_four_bits_keep_the_shape_of_the_output(page: Any) -> None:
    assert number(page, "#f8", "off") < 0.5, "rounding to whole numbers: all of it is lost"


def test_9_the_largest_weight_gets_the_largest_code(page: Any) -> None:
    weights, codes = column(page, "#f9", 1), column(page, "#f9", 2)
    assert abs(codes[np.abs(weights).argmax()]) == 7 == np.abs(codes).max()


def test_10_on_lopsided_weights_a_zero_point_halves_the_error(page: Any) -> None:
    rms = [number(page, "#f10", name) ** 0.5 for name in ("squared", "squared-other")]
    assert rms[0] < 0.6 * rms[1]


def test_11_errors_of_a_thousand_products_mostly_cancel(page: Any) -> None:
    assert number(page, "#cancel", "terms") == 1536
    assert number(page, "#cancel", "single") > 0.1, "one weight is off by a tenth and more"
    assert number(page, "#cancel", "cancelled") > 0.9
    together = abs(number(page, "#cancel", "together"))
    assert together < number(page, "#cancel", "aligned") / 10


def test_11_the_outputs_are_off_by_less_than_the_weights(page: Any) -> None:
    assert number(page, "#f11", "off") < number(page, "#cancel", "single")


def test_12_a_scale_per_block_loses_less_than_one_for_all(page: Any) -> None:
    assert number(page, "#f12", "squared") < number(page, "#f12", "squared-whole")


def test_13_no_weight_of_this_model_is_a_super_weight_and_the_figure_says_so(page: Any) -> None:
    assert number(page, "#f13", "kl") == column(page, "#f13", 4).max(), "the worst is chosen"
    told = page.locator("#f13 .card").inner_text()
    assert told.startswith("None of these is a super weight.")
    assert number(page, "#f13", "top1") > 0.99


def test_14_the_quant_is_torn_between_more_words(page: Any, example_texts: Any) -> None:
    for text in example_texts:
        assert np.mean(text["nll_quant"]) > np.mean(text["nll_reference"])


def test_15_expectations_differ_at_every_token_even_where_the_choice_is_the_same(
    page: Any, example_texts: Any
) -> None:
    text = example_texts[0]
    tops = np.asarray(text["ids"]).reshape(-1, 2, 10)[:, :, 0]
    assert np.asarray(text["kl"]).min() > 0
    assert np.mean(tops[:, 0] == tops[:, 1]) > 0.7
    assert number(page, "#f15", "mean") == pytest.approx(float(np.mean(text["kl"])), rel=1e-6)


def test_17_fewer_bytes_write_faster_but_not_faster_than_memory(page: Any) -> None:
    size, speed, ceiling = (column(page, "#f17", index) for index in (1, 2, 4))
    assert speed[0] < speed[1:].min(), "the 16-bit file is the slowest"
    assert np.all(speed <= 1.001 * ceiling)
    assert page.locator("#f17 .needle").count() == len(size), "every ceiling is in sight"


def test_18_the_loss_stays_small_down_to_a_cliff(page: Any) -> None:
    found = {row[0]: float(row[3]) for row in rows(page, "#f18")}
    assert found["INT8_SYM_G32"] < 0.01 < found["INT4_SYM_G32"] < 1 < found["INT2_SYM_G32"]


def test_19_fewer_bits_are_less_close_but_a_better_format_helps(page: Any) -> None:
    found = {row[0]: (float(row[1]), float(row[2])) for row in rows(page, "#f19")}
    by_bits = [found[f"INT{bits}_SYM_G32"][1] for bits in (8, 6, 5, 4, 3, 2)]
    assert by_bits == sorted(by_bits)
    assert found["NF4_G32"][1] < found["INT4_SYM_G32"][1]


@pytest.fixture(scope="module")
def example_texts() -> Any:
    def plain(value: Any) -> Any:
        if isinstance(value, dict) and "$" in value:
            return np.frombuffer(base64.b64decode(value["data"]), f"<{value['$']}")
        return value

    return [{key: plain(v) for key, v in text.items()} for text in example()["texts"]]


def test_16_two_bits_still_know_what_was_known_best_but_not_the_rest(page: Any) -> None:
    texts = page.locator("#f16 .answers > div").all_inner_texts()
    assert "Jupiter" in texts[0] and "Jupiter" not in texts[1], "the planet is chosen at first"
    known = next(one for one in example()["answers"] if "capital of France" in one["prompt"])
    assert known["reference"].startswith(" Paris") and known["quant"].startswith(" Paris")
