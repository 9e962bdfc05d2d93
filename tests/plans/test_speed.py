"""Speeds: what is counted, that timings move estimates, and that bands are honest."""

import math

import numpy as np
import pytest

from zeropoint.checkpoints import NewTensor
from zeropoint.formats import find_format
from zeropoint.plans.machines.catalog import find_device
from zeropoint.plans.memory.bytes_read import distinct_experts, step_traffic
from zeropoint.plans.memory.cache_shape import LayerCache, ModelShape
from zeropoint.plans.memory.memory import PlanWorkload, memory_use
from zeropoint.plans.memory.offload import HostMachine, place
from zeropoint.plans.memory.typical import typical_model
from zeropoint.plans.speed.speed import (
    UNTIMED_SPEED_RATIO,
    Timing,
    calibrate_costs,
    device_costs,
    estimate,
    generation_features,
    prompt_features,
)

HOST = HostMachine(ram=find_device("ddr5-5600-64gb"), ssd_bandwidth=7e9)


def dense(format: str = "Q4_0"):
    model = typical_model("1B")
    kind = find_format(format)
    tensors = [
        NewTensor(t.name, t.shape, kind if len(t.shape) > 1 else t.format)
        for t in model.tensors.values()
    ]
    return model.shape, tensors


def test_experts_that_users_meet_overlap():
    assert [round(distinct_experts(128, 8, users)) for users in (1, 4, 16)] == [8, 29, 82]
    assert distinct_experts(8, 8, 3) == 8
    assert distinct_experts(0, 0, 3) == 0


def test_every_weight_is_read_once_but_an_untied_embedding():
    shape, tensors = dense()
    embedding = next(t for t in tensors if t.name == "token_embd.weight")
    found = step_traffic(shape, tensors, PlanWorkload())
    assert (
        sum(found.read.values()) == memory_use(shape, tensors, PlanWorkload()).weights_bytes
    )  # tied
    untied = [*tensors, NewTensor("output.weight", embedding.shape, embedding.format)]
    assert step_traffic(shape, untied, PlanWorkload()).read == found.read


def test_a_prompt_multiplies_the_output_matrix_for_its_last_token_only():
    shape, tensors = dense()
    found = step_traffic(shape, tensors, PlanWorkload())
    body = sum(t.shape[0] * t.shape[1] for t in tensors if t.name.startswith("blk") and
               len(t.shape) == 2)  # fmt: skip
    head = shape.vocabulary * shape.width
    assert prompt_features(found, 10)["multiply:Q4_0"] == 10 * body + head
    assert found.active == body + head


def test_a_mixture_reads_what_is_chosen():
    model = typical_model("30B-A3B")
    demand = PlanWorkload(users=1)
    one = step_traffic(model.shape, model.tensors.values(), demand)
    many = step_traffic(model.shape, model.tensors.values(), PlanWorkload(users=16))
    whole = memory_use(model.shape, model.tensors.values(), demand).weights_bytes
    assert sum(one.read.values()) < 0.15 * whole
    assert sum(one.experts.values()) < sum(many.experts.values()) < many.all_experts


def test_the_cache_is_read_as_far_as_it_is_filled():
    shape, tensors = dense()
    empty = step_traffic(shape, tensors, PlanWorkload(), past=0).cache
    full = step_traffic(shape, tensors, PlanWorkload(), past=1000).cache
    assert (empty, full) == (
        0,
        1000 * memory_use(shape, (), PlanWorkload(context=256)).kv_bytes / 256,
    )


def test_without_timings_a_band_is_1_6_wide():
    shape, tensors = dense()
    costs = device_costs(find_device("rtx3090"))
    found = estimate(costs, generation_features(step_traffic(shape, tensors, PlanWorkload())), 1)
    assert found.basis == "estimated"
    assert found.high / found.low == pytest.approx(UNTIMED_SPEED_RATIO)
    assert found.low < found.tokens_per_second < found.high


LLAMA_7B, LLAMA_8B = (32, 4096, 11008, 32000), (32, 4096, 14336, 128256)
QWEN_8B = (36, 4096, 12288, 151936)


@pytest.mark.parametrize(
    ("device", "shape", "format", "writes", "reads"),
    [
        ("p40", LLAMA_7B, "Q4_0", 56.8, 912),  # llama.cpp's PR 4766, 2024-01
        ("rtx3080-10gb", LLAMA_8B, "Q4_K", 112, 3807),  # dmatora's benchmarks, issue 12, 2024-08
        ("rtx5090", QWEN_8B, "Q4_K", 221.7, None),  # CambrianTech/continuum PR 1627, 2026-06
        ("m1-max-64gb", LLAMA_7B, "Q4_0", 61.2, 530),  # llama.cpp's discussion 4167
    ],
)
def test_timings_that_people_published_lie_inside_the_band(device, shape, format, writes, reads):
    layers, width, inner, vocabulary = shape
    kind = find_format(format)
    groups = width if shape is LLAMA_7B else 1024
    tensors = [NewTensor("output.weight", (vocabulary, width), kind)]
    for index in range(layers):
        tensors.append(NewTensor(f"blk.{index}.attn.weight", (2 * (width + groups), width), kind))
        tensors.append(NewTensor(f"blk.{index}.ffn.weight", (3 * inner, width), kind))
    like = ModelShape(architecture="llama", layers=(LayerCache(),) * layers, width=width,
                 vocabulary=vocabulary, feed_forward=inner)  # fmt: skip
    step, costs = step_traffic(like, tensors, PlanWorkload()), device_costs(find_device(device))
    found = estimate(costs, generation_features(step), 1)
    assert found.low < writes < found.high
    prompt = estimate(costs, prompt_features(step, 512), 512)
    assert reads is None or prompt.low < reads < prompt.high


def features(size: str, format: str) -> dict[str, float]:
    model, kind = typical_model(size), find_format(format)
    tensors = [NewTensor(t.name, t.shape, kind if len(t.shape) > 1 else t.format)
               for t in model.tensors.values()]  # fmt: skip
    return generation_features(step_traffic(model.shape, tensors, PlanWorkload(), past=100))


def test_one_timing_corrects_every_estimate_and_narrows_the_band():
    """A machine that is 1.3 times as slow as thought is known to be after one model."""
    costs = device_costs(find_device("rtx3090"))
    seen, other = features("8B", "Q4_0"), features("3B", "Q8_0")
    timing = Timing(features=seen, seconds=1.3 * costs.predict(seen)[0])
    after = calibrate_costs(costs, [timing])
    # Of what a timing says, its own noise is held back: NOISE² of all variance, 11 % of log 1.3.
    assert after.predict(seen)[0] == pytest.approx(timing.seconds, rel=0.04)
    assert after.predict(other)[0] / costs.predict(other)[0] == pytest.approx(1.3, abs=0.15)
    assert after.predict(other)[1] < costs.predict(other)[1]
    assert estimate(after, other, 1).basis == "calibrated"


def test_timings_of_some_models_predict_the_others():
    """Costs are drawn at random around those assumed; half of the models are timed, with noise."""
    source = np.random.default_rng(1)
    costs = device_costs(find_device("ddr5-5600-64gb"))
    true = {n: s * math.exp(source.normal(0.1, 0.1)) for n, s in costs.seconds.items()}

    def seconds(found: dict[str, float]) -> float:
        total = sum(amount * true[name] for name, amount in found.items())
        return total * math.exp(source.normal(0, 0.02))

    grid = [(size, format) for size in ("1B", "3B", "8B") for format in ("Q8_0", "Q4_0", "Q5_0")]
    timed = [features(*cell) for cell in grid[::2]]
    after = calibrate_costs(costs, [Timing(features=f, seconds=seconds(f)) for f in timed])
    for cell in grid[1::2]:
        found = features(*cell)
        assert after.predict(found)[0] == pytest.approx(seconds(found), rel=0.15)


def test_no_timings_change_nothing():
    costs = device_costs(find_device("rtx3090"))
    assert calibrate_costs(costs, []) is costs


def test_a_mixture_that_is_too_large_puts_experts_into_ram_then_on_the_ssd():
    """DeepSeek-like, 1T at 4 bits on a 32 GiB card: everything that each token uses stays there."""
    model, kind = typical_model("1T"), find_format("Q4_0")
    tensors = [NewTensor(t.name, t.shape, kind if len(t.shape) > 1 else t.format)
               for t in model.tensors.values()]  # fmt: skip
    demand = PlanWorkload()
    memory, step = (
        memory_use(model.shape, tensors, demand),
        step_traffic(model.shape, tensors, demand),
    )
    card = find_device("rtx5090")
    small = place(memory, step, card, HOST)
    large = place(
        memory, step, card, HostMachine(ram=find_device("epyc-12ch-1152gb"), ssd_bandwidth=7e9)
    )
    assert small is not None and large is not None
    for found in (small, large):
        whole = found.device_bytes + found.ram_bytes + found.ssd_bytes
        assert whole == memory.total_bytes
        assert found.dense_layers == 0 and found.expert_layers > 50
        assert found.device_bytes <= card.usable_bytes
    assert large.ssd_bytes == 0 and small.ssd_bytes > 0
    assert large.tokens_per_second > 5 * small.tokens_per_second
    # From the SSD: all experts that are chosen, but for the share that RAM holds.
    share = small.ssd_bytes / step.all_experts
    seconds = share * sum(step.experts.values()) / (7e9 * 0.6)
    assert 1 / small.tokens_per_second == pytest.approx(seconds, rel=0.25)


def test_what_cannot_even_hold_its_cache_has_no_place():
    model = typical_model("8B")
    demand = PlanWorkload(context=1_000_000)
    memory = memory_use(model.shape, model.tensors.values(), demand)
    step = step_traffic(model.shape, model.tensors.values(), demand)
    assert place(memory, step, find_device("rtx3060-12gb"), HOST) is None
