"""Machines as data, and what they multiply: the facts that people quote, and rows of one's own."""

import pytest

from zeropoint.errors import RecipeError, UnsupportedModel
from zeropoint.formats import find_format
from zeropoint.metrics.speed.this_machine import load_devices
from zeropoint.plans.machines.catalog import find_device, shipped_devices, shipped_families
from zeropoint.plans.machines.device import DEVICE_KINDS, GIB, custom_device
from zeropoint.plans.speed import multiply

ROWS = shipped_devices()


@pytest.fixture(autouse=True)
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "zeropoint").mkdir()
    return tmp_path / "zeropoint" / "devices.toml"


def test_there_are_enough_machines_to_choose_from():
    assert len(ROWS) >= 40
    assert {device.kind for device in ROWS.values()} == set(DEVICE_KINDS)


@pytest.mark.parametrize("device", ROWS.values(), ids=lambda device: device.id)
def test_a_row_is_complete_and_plausible(device):
    """Every row has a source; a price has its date; a full read takes from 10 ms to 10 s."""
    assert device.source and device.family.source
    assert (device.price_usd is None) == (device.price_date is None)
    assert 0.01 < device.memory_bytes / device.bandwidth < 10
    assert 0 < device.usable_bytes < device.memory_bytes


@pytest.mark.parametrize(
    ("name", "gib", "gb_per_second"),
    [
        ("rtx3060-12gb", 12, 360), ("rtx3090", 24, 936), ("rtx4090", 24, 1008),
        ("rtx5090", 32, 1792), ("h200-sxm", 140.4, 4800), ("m1-max-64gb", 64, 400),
        ("m4-max-40c-128gb", 128, 546), ("mi300x", 192, 5300), ("ddr5-5600-64gb", 64, 89.6),
    ],
)  # fmt: skip
def test_memory_and_bandwidth_are_the_maker_s(name, gib, gb_per_second):
    device = find_device(name)
    assert device.memory_bytes / GIB == pytest.approx(gib)
    assert device.bandwidth / 1e9 == pytest.approx(gb_per_second)


@pytest.mark.parametrize(
    ("name", "has", "lacks"),
    [
        ("m1-max-64gb", {"fp16"}, {"fp8", "bf16", "fp4"}),
        ("h100-sxm", {"fp8", "bf16", "int8"}, {"fp4", "int4"}),
        ("rtx3090", {"bf16", "int8", "int4"}, {"fp8", "fp4"}),
        ("rtx4090", {"fp8"}, {"fp4"}), ("rtx5090", {"fp8", "fp4"}, set()),
        ("b200", {"fp4", "fp6"}, set()), ("p40", {"int8"}, {"fp16", "bf16"}),
        ("v100-16gb", {"fp16"}, {"bf16", "int4"}),
    ],
)  # fmt: skip
def test_known_facts_of_what_is_multiplied_natively(name, has, lacks):
    native = set(find_device(name).family.native)
    assert has <= native and not lacks & native


@pytest.mark.parametrize(
    ("name", "kind", "becomes"),
    [
        ("m1-max-64gb", "fp16", "fp16"), ("m1-max-64gb", "fp8", "fp16"),
        ("m1-max-64gb", "bf16", "fp32"), ("h100-sxm", "fp8", "fp8"), ("h100-sxm", "fp4", "fp8"),
        ("b200", "fp4", "fp4"), ("rtx3090", "fp8", "fp16"), ("p40", "fp16", "fp32"),
        ("h100-sxm", "int4", "int8"), ("v100-16gb", "bf16", "fp32"),
    ],
)  # fmt: skip
def test_what_is_not_native_is_converted_to_the_next_one_up(name, kind, becomes):
    assert multiply.next_native(kind, find_device(name).family.native) == becomes


def test_two_fp4_codes_share_a_byte():
    found = multiply.multiplication(find_device("h100-sxm"), multiply.format_of("fp4"))
    assert (found.kind, found.codes_per_byte) == ("fp4", 2)
    mxfp4 = find_format("MXFP4")
    assert mxfp4.block_bytes == mxfp4.block_size // 2 + 1  # two a byte, and a scale


@pytest.mark.parametrize(
    ("device", "format", "runtime", "phase", "unit"),
    [
        ("rtx3090", "Q4_K", "llama.cpp", "generate", "int8"),
        ("rtx3090", "Q4_K", "llama.cpp", "prompt", "int8"),
        ("v100-16gb", "Q4_K", "llama.cpp", "prompt", "fp16"),
        ("rtx5090", "MXFP4", "llama.cpp", "prompt", "fp4"),
        ("rtx5090", "MXFP4", "llama.cpp", "generate", "int8"),
        ("b200", "MXFP4", "llama.cpp", "prompt", "int8"),  # ggml's FP4 needs 12.x
        ("b200", "NVFP4", "vLLM", "prompt", "fp4"), ("h100-sxm", "fp8", "vLLM", "generate", "fp8"),
        ("rtx3090", "fp8", "vLLM", "prompt", "fp16"),
        ("h100-sxm", "fp8", "llama.cpp", "prompt", ""),
        ("m4-max-40c-128gb", "Q4_K", "llama.cpp", "generate", "fp32"),
        ("ddr5-5600-64gb", "Q4_K", "llama.cpp", "generate", "int8"),
        ("ddr5-5600-64gb", "Q4_K", "zeropoint", "generate", "int8"),
    ],
)  # fmt: skip
def test_what_a_runtime_multiplies(device, format, runtime, phase, unit):
    found = multiply.multiplication(find_device(device), multiply.format_of(format))
    (way,) = [way for way in found.ways if (way.runtime, way.phase) == (runtime, phase)]
    assert way.unit == unit and way.source and way.steps


def test_every_way_has_units_that_exist_or_says_that_it_cannot():
    for row in multiply._rows():
        assert row["unit"] in {"", *multiply.WIDER_KINDS}
        assert set(row.get("families", ())) <= set(shipped_families())


def test_no_runtime_is_said_to_run_where_it_does_not():
    found = multiply.multiplication(find_device("m1-max-64gb"), find_format("Q4_K"))
    assert {way.runtime for way in found.ways} == {"llama.cpp"}


@pytest.mark.parametrize("name", ["rtx3060", "H100", "m1-max", "nonsense", "", "4090"])
def test_an_unknown_name_is_one_sentence_that_helps(name):
    with pytest.raises(RecipeError, match="no device") as caught:
        find_device(name)
    assert "\n" not in str(caught.value) and "--memory" in str(caught.value)


def test_a_user_s_row_is_added_and_wins(settings):
    settings.write_text(
        '[device.two-3090]\nname = "Two"\nfamily = "ampere"\nmemory_gib = 48\nbandwidth_gbs = 900\n'
        '[device.rtx3090]\nfamily = "ampere"\nmemory_gib = 25\nbandwidth_gbs = 1\n'
    )
    catalog = load_devices()
    assert catalog.find("two-3090").memory_bytes == 48 * GIB
    assert catalog.find("rtx3090").memory_bytes == 25 * GIB
    assert len(catalog.devices) == len(ROWS) + 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[device.x", "cannot be read"), ("device = 3", "written"),
        ("[device.x]\nfamily = 'ampere'\nmemory_gib = 0\nbandwidth_gbs = 1", "memory_gib"),
        ("[device.x]\nfamily = 'none'\nmemory_gib = 1\nbandwidth_gbs = 1", "family"),
        ("[device.X]\nfamily = 'ampere'\nmemory_gib = 1\nbandwidth_gbs = 1", "lower-case letters"),
        ("[device.x]\nfamily = 'ampere'\nmemory_gib = true\nbandwidth_gbs = 1", "memory_gib"),
        ("[family.y]\nname = 'Y'", "native"),
    ],
)  # fmt: skip
def test_a_user_s_row_that_makes_no_sense_is_one_sentence(settings, text, said):
    settings.write_text(text)
    with pytest.raises(UnsupportedModel, match=said):
        load_devices()


def test_a_device_can_be_described_instead_of_named():
    device = custom_device(24 * GIB, 936e9)
    assert device.usable_bytes == 23 * GIB and device.bandwidth == 936e9
    with pytest.raises(RecipeError):
        custom_device(0, None)
    with pytest.raises(RecipeError):
        custom_device(GIB, -1.0)
