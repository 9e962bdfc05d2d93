"""The nineteen items of the walk: each is changed by hand, and the new figure checked by Python.

The golden vectors are typed in here; no page presets them.
"""

from typing import Any

import numpy as np
import pytest

from support.studio_pages import Example, choose, number, press, rows, shows, turn
from zeropoint.formats import find_format
from zeropoint.formats.explain import explain_value
from zeropoint.formats.floats import E2M1, E4M3, FLOAT32, FLOAT_TYPES

GOLDEN = np.array([-0.89, 0.16, 0.08, -0.13, 0.16, -0.54], np.float32)


@pytest.fixture
def page(new_page: Any, example: Example) -> Any:
    return new_page(example.walk)


def unpacked(example: Example, tensor: str, piece: int = 0) -> np.ndarray:
    """A piece of a row that the page carries."""
    found = next(t for t in example.data["tensors"] if t["name"] == tensor)
    return np.asarray(found["pieces"][piece]["values"])


def first_piece(example: Example) -> np.ndarray:
    found = next(t for t in example.data["tensors"] if "pieces" in t)
    return np.asarray(found["pieces"][0]["values"])


def round_trip(weights: np.ndarray, name: str) -> np.ndarray:
    """Rows of one format, there and back."""
    format = find_format(name).for_shape((weights.size,))
    blocks = format.encode_blocks(weights.reshape(-1, format.block_size).astype(np.float32))
    return format.decode_blocks(blocks).reshape(-1)


def relative(weights: np.ndarray, decoded: np.ndarray) -> float:
    exact = weights.astype(np.float64)
    return float(np.mean(np.abs((decoded - exact)[exact != 0] / exact[exact != 0])))


def test_figure_1_shows_the_size_at_other_bits(page: Any) -> None:
    turn(page, "#f1", "bits", 3.5)
    turn(page, "#f1", "parameters", 80_000_000_000)
    assert number(page, "#f1", "bytes") == 80e9 * 3.5 / 8
    assert number(page, "#f1", "share") == 3.5 / 16


def test_figure_2_shows_an_input_changes_the_sum(page: Any, example: Example) -> None:
    product = example.data["products"][1]
    turn(page, "#f2", "product", 1)
    turn(page, "#f2", "row", 2)
    turn(page, "#f2", "column", 5)
    turn(page, "#f2", "input", 2.5)
    inputs = np.asarray(product["inputs"], np.float64).copy()
    inputs[5] = 2.5
    weights = np.asarray(product["weights"][2], np.float64)
    assert number(page, "#f2", "output") == pytest.approx(float(inputs @ weights), rel=1e-12)
    assert number(page, "#f2", "term") == 2.5 * weights[5]


def test_figure_3_shows_bits_of_the_golden_number(page: Any) -> None:
    turn(page, "#f3", "type", "F32")
    turn(page, "#f3", "number", "-48.92364502")
    told = explain_value(-48.92364502, FLOAT32)
    shown = "".join(page.locator("#f3 .bit").all_inner_texts())
    assert shown == told.sign_bit + told.exponent_bits + told.mantissa_bits
    assert number(page, "#f3", "stored") == told.stored == np.float32(-48.92364502)
    printed = page.locator("#f3 .formula").inner_text()
    assert printed == f"− 25 × (1 + {int(told.mantissa_bits, 2)} ∕ {2**23}) = −48.92364502"
    page.locator('#f3 [data-bit="31"]').click()
    assert number(page, "#f3", "stored") == -told.stored
    page.locator('#f3 [data-bit="0"]').click()  # one step of the last place
    assert abs(number(page, "#f3", "stored")) in (abs(told.below), abs(told.above))


def test_figure_4_shows_the_next_number(page: Any) -> None:
    turn(page, "#f4", "type", "FP8_E4M3")
    turn(page, "#f4", "number", "1.0")
    press(page, "#f4", "above")
    assert number(page, "#f4", "stored") == 1.125 == explain_value(1.0, E4M3).above
    formula = page.locator("#f4 .formula")
    assert formula.inner_text() == "+ 20 × (1 + 1 ∕ 8) = 1.125", "2⁰, its 0 set as a superscript"
    press(page, "#f4", "below")
    press(page, "#f4", "below")
    told = explain_value(1.0, E4M3).below
    assert number(page, "#f4", "stored") == told
    assert number(page, "#f4", "step") == explain_value(told, E4M3).step


def test_figure_3_shows_minus_zero_put_to_use(page: Any, example: Example) -> None:
    turn(page, "#f3", "type", "FP4_E2M1")
    assert number(page, "#f3", "distinct") == 15
    page.locator('#f3 [data-control="reuse"]').check()
    assert number(page, "#f3", "distinct") == 16
    weights = first_piece(example)
    for name, format in (("fp4", "FP4_E2M1_G16"), ("reused", "FP4_E2M1_M0_PM5_G16")):
        error = weights.astype(np.float64) - round_trip(weights, format)
        assert number(page, "#f3", name) == pytest.approx(float(np.mean(error**2)), rel=1e-12)


@pytest.mark.parametrize("name", ["INT8", "INT4", "INT2", "NF4", "IQ4_NL"])
def test_figure_3_shows_codes_with_a_scale(page: Any, example: Example, name: str) -> None:
    """The codes of the piece, one after the other, mean what Python says that they mean."""
    turn(page, "#f3", "type", name)
    weights = first_piece(example)
    format = find_format(
        {"NF4": "NF4_ROW", "IQ4_NL": "IQ4_NL"}.get(name, f"{name}_SYM_ROW")
    ).for_shape((weights.size,))
    blocks = format.encode_blocks(weights.reshape(-1, format.block_size))
    parts = format.parts(blocks)
    assert number(page, "#f3", "scale") == parts.scale[0, 0]
    shown = {int(row[1], 2): float(row[2]) for row in rows(page, "#f3")}
    assert len(shown) == 2 ** int("".join(c for c in name if c.isdigit())[:1])
    codes = parts.codes[0].astype(int) % len(shown)
    for code, weight in zip(codes, parts.weights()[0], strict=True):
        assert shown[int(code)] == weight
    turn(page, "#f3", "number", repr(float(weights[3])))
    assert number(page, "#f3", "stored") == parts.weights()[0, 3]


def test_figure_5_shows_codes_near_zero(page: Any) -> None:
    turn(page, "#f5", "within", 0.5)
    assert number(page, "#f5", "within") == 2_113_929_216
    turn(page, "#f5", "type", "FP4_E2M1")
    turn(page, "#f5", "reach", 4)
    table = np.array(rows(page, "#f5"), float)
    values = np.unique(E2M1.table)
    for low, high, count, _ in table:
        assert count == ((values >= low) & (values < high)).sum()


def test_figure_6_shows_one_number_in_every_type(page: Any) -> None:
    turn(page, "#f6", "number", "0.16")
    for name, type in FLOAT_TYPES.items():
        assert number(page, "#f6", f"stored-{name}") == explain_value(0.16, type).stored


def test_figure_7_shows_another_tensor(page: Any, example: Example) -> None:
    tensor = example.data["tensors"][3]
    turn(page, "#f7", "tensor", tensor["name"])
    assert number(page, "#f7", "rms") == tensor["rms"]
    assert number(page, "#f7", "largest") == tensor["largest"]
    shown = [int(row[2]) for row in rows(page, "#f7")]
    assert shown == tensor["counts"] and sum(shown) == np.prod(tensor["shape"])
    choose(page, "#f7", "view", "layers")
    same = [t for t in example.data["tensors"] if t["kind"] == tensor["kind"]]
    assert page.locator("#f7 .plot g[role=button]").count() == len(same)


@pytest.mark.parametrize("way", ["none", "whole", "bf16", "INT4_SYM_ROW", "INT2_ASYM_ROW"])
def test_figure_8_shows_a_small_network(page: Any, example: Example, way: str) -> None:
    choose(page, "#f8", "way", way)
    turn(page, "#f8", "x", -3)
    weights = first_piece(example)[:9]
    stored = {
        "none": weights,
        "whole": np.rint(weights),
        "bf16": round_trip(weights, "BF16"),
    }.get(way)
    if stored is None:
        stored = round_trip(weights, way)

    def output(w: np.ndarray) -> float:
        w = w.astype(np.float64)
        return float(np.sum(w[6:] * np.tanh(w[:3] * -3 + w[3:6])))

    assert number(page, "#f8", "exact") == pytest.approx(output(weights), rel=1e-12, abs=1e-15)
    assert number(page, "#f8", "output") == pytest.approx(output(stored), rel=1e-12, abs=1e-15)


def typed(page: Any, figure: str) -> None:
    turn(page, figure, "weights", "[-0.89, .16, .08, -.13, .16, -.54]")


def test_figure_9_shows_the_golden_vector_symmetric(page: Any) -> None:
    typed(page, "#f9")
    assert number(page, "#f9", "scale") == np.float32(0.89 / 7)
    assert f"{number(page, '#f9', 'scale'):.6f}" == "0.127143"
    assert [int(row[2]) for row in rows(page, "#f9")] == [-7, 1, 1, -1, 1, -4]
    shown = number(page, "#f9", "relative")
    assert shown == pytest.approx(relative(GOLDEN, round_trip(GOLDEN, "INT4_SYM_ROW")), rel=1e-12)
    assert f"{shown:.3f}" == "0.180"


def test_figure_10_shows_the_golden_vector_asymmetric(page: Any) -> None:
    typed(page, "#f10")
    assert number(page, "#f10", "scale") == np.float32(0.07)
    assert number(page, "#f10", "zero") == 5
    found = rows(page, "#f10")
    assert [int(row[2]) for row in found] == [-8, 7, 6, 3, 7, -3]
    decoded = [float(row[3]) for row in found]
    np.testing.assert_allclose(decoded, [-0.91, 0.14, 0.07, -0.14, 0.14, -0.56], rtol=1e-6)
    assert f"{number(page, '#f10', 'relative'):.3f}" == "0.085"


def test_figure_10_shows_a_scale_and_a_zero_point_by_hand(page: Any) -> None:
    typed(page, "#f10")
    turn(page, "#f10", "scale", 0.1)
    turn(page, "#f10", "zero", 2)
    scale = np.float32(0.1)
    codes = np.clip(np.rint(GOLDEN / scale) + 2, -8, 7)
    assert [int(row[2]) for row in rows(page, "#f10")] == codes.tolist()
    page.locator("#f10 .handle.zero").press("ArrowRight")
    assert number(page, "#f10", "zero") == 3
    press(page, "#f10", "reset")
    assert number(page, "#f10", "scale") != 0.1


def test_figure_9_shows_a_weight_is_dragged_and_moved_by_keys(page: Any) -> None:
    typed(page, "#f9")
    mark = page.locator('#f9 [data-mark="w2"]')
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + 80, box["y"] + 5, steps=4)
    page.mouse.up()
    moved = float(rows(page, "#f9")[2][1])
    assert moved > 0.09
    page.locator('#f9 [data-mark="w2"]').press("ArrowUp")
    assert float(rows(page, "#f9")[2][1]) > moved


def test_figure_11_shows_outputs_of_a_real_layer(page: Any, example: Example) -> None:
    product = example.data["products"][0]
    turn(page, "#f11", "kind", "INT3_ASYM")
    choose(page, "#f11", "group", 16)
    weights = np.asarray(product["weights"])
    stored = np.stack([round_trip(row, "INT3_ASYM_G16") for row in weights])
    x = np.asarray(product["inputs"], np.float64)
    exact, found = weights @ x, stored @ x
    off = np.linalg.norm(found - exact) / np.linalg.norm(exact)
    assert number(page, "#f11", "off") == pytest.approx(off, rel=1e-9)


def test_figure_12_shows_an_outlier_hurts_its_block(page: Any, example: Example) -> None:
    weights = first_piece(example).copy()
    weights[100] = 20 * np.abs(weights).max()
    turn(page, "#f12", "outlier", 20)
    errors = {}
    for size in (32, 256):
        choose(page, "#f12", "size", size)
        errors[size] = number(page, "#f12", "relative")
        told = relative(weights, round_trip(weights, f"INT4_SYM_G{size}"))
        assert errors[size] == pytest.approx(told, rel=1e-6)
    assert errors[256] > 1.5 * errors[32]


def test_figure_13_shows_a_weight_taken_out(page: Any, example: Example) -> None:
    for index in (1, 7):
        turn(page, "#f13", "weight", index)
        told = example.data["ablations"]["weights"][index]
        assert number(page, "#f13", "kl") == told["kl"]
        assert number(page, "#f13", "top1") == told["top1"]


def test_figure_14_shows_perplexity_step_by_step(page: Any, example: Example) -> None:
    text = example.data["texts"][1]
    turn(page, "#f14", "text", text["domain"])
    for _ in range(3):
        press(page, "#f14", "forward")
    nll = np.asarray(text["nll_reference"], np.float64)
    assert number(page, "#f14", "p-reference") == pytest.approx(np.exp(-nll[3]), rel=1e-9)
    assert number(page, "#f14", "ppl-reference") == pytest.approx(np.exp(nll[:4].mean()), rel=1e-9)
    press(page, "#f14", "back")
    quant = np.asarray(text["nll_quant"], np.float64)
    assert number(page, "#f14", "ppl-quant") == pytest.approx(np.exp(quant[:3].mean()), rel=1e-9)


def test_figure_15_shows_the_worst_token_and_moves_by_key(page: Any, example: Example) -> None:
    kl = np.asarray(example.data["texts"][0]["kl"])
    press(page, "#f15", "worst")
    assert number(page, "#f15", "kl") == kl.max()
    page.locator("#f15 .tok[aria-current]").focus()
    page.keyboard.press("n")
    assert number(page, "#f15", "kl") == np.sort(kl)[-2]
    at = int(np.argsort(-kl, kind="stable")[1])
    page.keyboard.press("ArrowLeft")
    assert number(page, "#f15", "kl") == kl[max(at - 1, 0)]
    logp = np.asarray(example.data["texts"][0]["logp"])[max(at - 1, 0), 0]
    shown = sorted((float(r[1]) for r in rows(page, "#f15") if r[1] != "–"), reverse=True)
    np.testing.assert_allclose(shown, np.exp(logp.astype(np.float64)), rtol=1e-9)


def test_figure_16_shows_flips(page: Any, example: Example) -> None:
    text = example.data["texts"][1]
    turn(page, "#f16", "text", text["domain"])
    tops = np.asarray(text["ids"])[:, :, 0]
    target = np.array(text["tokens"][text["first"] + 1 :])
    right = tops == target[:, None]
    assert number(page, "#f16", "lost") == (right[:, 0] & ~right[:, 1]).sum()
    assert number(page, "#f16", "won") == (~right[:, 0] & right[:, 1]).sum()
    turn(page, "#f16", "prompt", 1)
    one = example.data["answers"][1]
    shows(page, "#f16 .answers", one["quant"])


def test_figure_17_shows_speed_and_its_ceiling(page: Any, example: Example) -> None:
    turn(page, "#f17", "bandwidth", 200)
    levels = [v for v in example.data["ladder"] if v["generation_tokens_per_second"]]
    turn(page, "#f17", "level", 1)
    assert number(page, "#f17", "speed") == levels[1]["generation_tokens_per_second"]
    assert number(page, "#f17", "ceiling") == 200e9 / levels[1]["bytes"]
    choose(page, "#f17", "what", "prompt")
    assert number(page, "#f17", "speed") == levels[1]["prompt_tokens_per_second"]


def test_figure_18_shows_the_verdict_of_a_level(page: Any, example: Example) -> None:
    for index in (1, 3):
        page.locator(f'#f18 [data-mark="l{index}"]').focus()
        page.keyboard.press("Enter")
        level = example.data["ladder"][index]
        assert number(page, "#f18", "kl") == level["kl"]["mean"]
        assert level["verdict"]["word"] in page.locator("#f18 .card").inner_text()


def test_figure_19_shows_every_format_on_the_same_weights(page: Any, example: Example) -> None:
    choose(page, "#f19", "group", 16)
    weights = first_piece(example)
    for name, bits, error in rows(page, "#f19"):
        format = find_format(name).for_shape((weights.size,))
        assert float(bits) == format.bits_per_weight
        off = np.linalg.norm(round_trip(weights, name).astype(np.float64) - weights)
        assert float(error) == pytest.approx(off / np.linalg.norm(weights), rel=1e-6)
