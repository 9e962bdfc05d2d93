"""The pages Plan and Speed in a browser: what they show is what the verb answers."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from support import published_configs as published
from support.studio_pages import Example, choose, fits, number, rows, turn, until
from support.studio_server import Studio, running
from zeropoint.kernels import benchmark_machine
from zeropoint.kernels.benchmark_machine import MachineBenchmark
from zeropoint.kernels.machine import this_machine
from zeropoint.kernels.rates import KernelRate
from zeropoint.plans.machines.catalog import DeviceCatalog, find_device
from zeropoint.plans.planner.advice import fixes
from zeropoint.plans.planner.options import PlanOptions
from zeropoint.plans.planner.planning import PlanResult, make_question
from zeropoint.plans.planner.ranking import format_model
from zeropoint.plans.speed.earlier_results import EarlierResults, bench_work
from zeropoint.plans.speed.multiply import format_of, multiplication
from zeropoint.plans.speed.speed import device_costs, generation_speed
from zeropoint.results.bench import BenchResult
from zeropoint.results.bench_history import append_bench_history
from zeropoint.verbs.plan import describe_model, plan

ANSWERED = '[data-answer="answered"]'


pytestmark = pytest.mark.usefixtures("clean_machine")


@pytest.fixture(scope="module")
def studio(example: Example, clean_machine: None) -> Iterator[Studio]:
    with running(example.model.parent) as found:
        yield found


def shows(page: Any, place: str, text: str, *, told: bool = True) -> None:
    """Wait until a place has a text, or has it no longer. Served pages let no waiting script in."""
    there = f"(document.querySelector({json.dumps(place)})?.textContent ?? '')"
    until(page, f"{there}.includes({json.dumps(text)}) === {json.dumps(told)}")


def asked(studio: Studio, address: str = "/api/plan", **words: Any) -> tuple[int, Any]:
    usual = {"models": [], "sizes": [], "config": "", "devices": ["rtx3090"], "ctx": 4096,
             "users": 1, "keys": "f16", "values": "f16", "objective": "loss", "to": [],
             "host": "ddr5-5600-64gb", "ram": "", "ssd": 7}  # fmt: skip
    answer = studio.post(address, json.dumps(usual | words).encode())
    return answer.status, json.loads(answer.body)


def at(page: Any, words: str, chosen: str = "") -> Any:
    """Wait until the page has an answer and shows what it says."""
    page.wait_for_selector(f"#f-plan{ANSWERED}")
    shows(page, "#f-plan", words)
    if chosen:
        shows(page, "#f-parts .card", chosen)
    return page


def best(found: PlanResult, device: str) -> Any:
    return next(result for result in found.results if result.device.id == device)


def test_the_bars_are_what_the_verb_answers(visit: Any, studio: Studio, example: Example) -> None:
    id = studio.id_of(example.quant.name)
    page = visit(f"/plan#plan.models={id}&plan.devices=rtx3090,m1-max-64gb")
    at(page, "usable on RTX 3090")
    found = best(plan(example.quant, device="rtx3090", runs=[]), "rtx3090")
    assert number(page, "#f-plan", "total") == found.memory.total_bytes
    words = "document.querySelector('#f-plan .words text.on-fill')"
    assert page.evaluate(f"getComputedStyle({words}).stroke") == "none"
    turn(page, "#f-plan", "ctx", 65536)
    turn(page, "#f-plan", "users", 3)
    turn(page, "#f-plan", "values", "q8_0")
    more = plan(example.quant, device=["rtx3090", "m1-max-64gb"], context=65536, users=3,
                kv="f16/q8_0", runs=[])  # fmt: skip
    found = best(more, "rtx3090")
    shown = "document.querySelector('#f-plan [data-name=total]')?.value"
    until(page, f"{shown} === '{found.memory.total_bytes}'")
    page.wait_for_selector(f"#f-parts{ANSWERED}")
    shown = [[int(cell) for cell in row[-3:]] for row in rows(page, "#f-plan")]
    assert shown == [[r.memory.total_bytes, r.device.usable_bytes, r.longest]
                     for r in more.results]  # fmt: skip
    parts = {row[0]: row[1] for row in rows(page, "#f-parts")}
    assert int(parts["cache of every position"]) == found.memory.cache_bytes
    assert int(parts["weights that every token uses"]) == found.memory.weights_bytes
    assert "plan.ctx=65536" in page.url
    page.reload()
    at(page, "usable on RTX 3090")
    assert number(page, "#f-plan", "total") == found.memory.total_bytes


def test_what_does_not_fit_says_what_to_turn_and_another_answer_can_be_picked(
    visit: Any, studio: Studio
) -> None:
    words = "plan.models=&plan.sizes=14B:Q6_K&plan.devices=rtx3060-12gb,rtx3090&plan.ctx=16384"
    page = visit(f"/plan#{words}")
    at(page, "14B Q6_K", "14B Q6_K on RTX 3090: fits")
    page.locator('#f-plan [data-mark="drtx3060-12gb"]').focus()
    page.keyboard.press("Enter")
    at(page, "usable on RTX 3060", "lacks")
    assert "plan.device=rtx3060-12gb" in page.url
    found = plan("14B:Q6_K", device="rtx3060-12gb", context="16k", runs=[])
    told = page.locator("#f-parts .turn-list li").all_inner_texts()
    assert told == list(fixes(found.results[0], found.question)) and len(told) > 2
    shows(page, "#f-answers tr.chosen", "RTX 3060")
    page.locator('#f-answers input[type="radio"]').first.check()
    at(page, "usable on RTX 3090", "fits")
    page.go_back()
    at(page, "usable on RTX 3060", "lacks")


def test_devices_are_added_and_left_out_by_keyboard(visit: Any, studio: Studio) -> None:
    page = visit("/plan#plan.models=&plan.sizes=8B:Q4_K_M&plan.devices=rtx3090")
    at(page, "8B Q4_K_M")
    turn(page, "#f-plan", "devices", "h100-sxm")
    at(page, "H100 SXM 80GB")
    page.locator('#f-plan [data-control="devices-rtx3090"]').press("Enter")
    shows(page, "#f-plan .plot", "RTX 3090", told=False)
    assert "plan.devices=h100-sxm" in page.url
    choose(page, "#f-plan", "objective", "speed")
    at(page, "H100 SXM 80GB")


def test_a_machine_that_was_not_measured_has_memory_and_no_speed(
    visit: Any, studio: Studio
) -> None:
    page = visit("/plan#plan.models=&plan.sizes=8B:Q4_K_M&plan.devices=here")
    at(page, "8B Q4_K_M")
    assert "zeropoint doctor" in page.locator("main").inner_text()
    assert page.locator('#f-parts [data-name="speed"]').first.get_attribute("value") == ""


def test_a_described_model_and_nonsense_are_answered_in_place(visit: Any, studio: Studio) -> None:
    page = visit("/plan#plan.models=&plan.sizes=&plan.devices=rtx3090")
    page.wait_for_selector('#f-plan[data-answer="problem"]')
    shows(page, "#f-plan .problem", "name a model")
    turn(page, "#f-plan", "sizes", "org/name")
    shows(page, "#f-plan .problem", "zeropoint plan org/name")
    turn(page, "#f-plan", "sizes", "27B:Q9_K")
    shows(page, "#f-plan .problem", "Q9_K")
    turn(page, "#f-plan", "sizes", "")
    box = page.locator('#f-plan [data-control="config"]')
    box.fill(json.dumps(published.LLAMA_8B))
    box.blur()
    at(page, "llama BF16")
    assert number(page, "#f-plan", "total") > 16e9


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"sizes": ["/etc/passwd"]}, "is not a size"), ({"sizes": ["org/name"]}, "network"),
        ({"sizes": ["8B:/etc/passwd"]}, "not a preset"),
        ({"sizes": ["8B"], "to": ["/etc/passwd"]}, "not a preset"),
        ({"models": ["0123456789ab"]}, "has no model"), ({}, "name a model"),
        ({"sizes": ["8B"], "devices": ["rtx3091"]}, "rtx3090"),
        ({"sizes": ["8B"], "keys": "Q4_K"}, "q8_0"),
        ({"sizes": ["8B"], "objective": "best"}, "loss, speed, context"),
        ({"config": "{"}, "not JSON"), ({"config": "[1]"}, "a JSON object"),
        ({"config": '{"model_type": "llama", "hidden_size": 64}'}, "num_hidden_layers"),
        ({"sizes": ["8B"], "ram": "much"}, "not a size"),
        ({"sizes": ["8B"], "host": "nowhere"}, "no device"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("address", ["/api/plan", "/api/speed"])
def test_words_are_no_paths_and_nonsense_is_one_sentence(
    studio: Studio, address: str, words: dict[str, Any], said: str
) -> None:
    status, found = asked(studio, address, **words)
    assert status == 200 and said in found["error"] and "\n" not in found["error"]


@pytest.mark.parametrize(
    "words",
    [
        {"ctx": 0}, {"ctx": -1}, {"ctx": 2**25}, {"ctx": 1.5}, {"ctx": "16k"}, {"users": 0},
        {"users": None}, {"ssd": 0}, {"ssd": True}, {"devices": "here"}, {"devices": [1]},
        {"devices": ["x"] * 65}, {"sizes": ["8B"] * 9}, {"models": {}}, {"full_windows": 1},
        {"config": 5}, {"sizes": ["x" * 65]}, {"keys": "f16f16f16"},
    ],
)  # fmt: skip
def test_a_word_of_the_wrong_kind_is_refused(studio: Studio, words: dict[str, Any]) -> None:
    assert asked(studio, **{"sizes": ["8B"], **words})[0] == 400


def test_the_roofline_has_what_the_planner_says_and_the_batch_moves_it(
    visit: Any, studio: Studio
) -> None:
    page = visit("/speed#plan.models=&plan.sizes=8B&plan.devices=rtx3090,m1-max-64gb")
    page.wait_for_selector(f"#f-roof{ANSWERED}")
    turn(page, "#f-roof", "format", "Q4_K_M")
    device = find_device("rtx3090")
    for users in (1, 16, 256):
        turn(page, "#f-roof", "batch", users)
        question = make_question(PlanOptions(users=users), EarlierResults(), DeviceCatalog())
        step = format_model(describe_model("8B")[0], "Q4_K_M", question).step
        rate = generation_speed(device_costs(device), step).tokens_per_second
        intensity = 2 * (step.active + step.attention) * users
        intensity /= sum(step.read.values()) + step.cache
        until(page, f"location.hash.includes('batch={users}') || {users} === 1")
        assert number(page, "#f-roof", "speed") == pytest.approx(rate, rel=1e-12)
        assert number(page, "#f-roof", "intensity") == pytest.approx(intensity, rel=1e-12)
        shares = 2 * step.active * rate / min(284e12, intensity * 936e9)
        assert number(page, "#f-roof", "share") == pytest.approx(shares, rel=0.05) and shares < 1
    assert page.locator('#f-roof [data-name="limit"]').inner_text() == "memory"
    page.locator('#f-roof [data-mark="rtx3090/Q4_K_M/prompt"]').focus()
    page.keyboard.press("Enter")
    until(page, "document.querySelector('#f-roof [data-name=limit]').textContent === 'arithmetic'")
    page.reload()
    page.wait_for_selector(f"#f-roof{ANSWERED}")
    assert page.locator('#f-roof [data-name="limit"]').inner_text() == "arithmetic"
    assert len(rows(page, "#f-roof")) == 2 * 4 * 2  # devices, formats, phases


def test_the_arithmetic_is_that_of_explain_multiply(visit: Any, studio: Studio) -> None:
    page = visit("/speed#plan.models=&plan.sizes=8B:Q4_K_M&plan.devices=rtx3090,m1-max-64gb")
    page.wait_for_selector(f"#f-roof{ANSWERED}")
    for id in ("rtx3090", "m1-max-64gb"):
        turn(page, "#f-roof", "device", id)
        found = multiplication(find_device(id), format_of("Q4_K"))
        shows(page, "#f-roof .arithmetic", found.device)
        told = page.locator("#f-roof .arithmetic").inner_text()
        for way in found.ways:
            assert way.runtime in told and way.steps[0] in told and way.source in told


def test_what_bench_timed_here_is_a_point_with_its_spread(
    visit: Any, studio: Studio, example: Example, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates = tuple(KernelRate(name, 1.6e10, 5e10) for name in ("F16", "Q4_K", "Q8_0"))
    machine = MachineBenchmark(this_machine(), 2, 2e10, 1e11, rates)
    monkeypatch.setattr(benchmark_machine, "load_benchmark", lambda threads=None: machine)
    work = bench_work(describe_model(example.model)[0], 64, 16)
    speeds = {"median": 100.0, "min": 90.0, "max": 120.0, "sd": 8.0}
    timed = {
        "model": str(example.model), "file_bytes": example.model.stat().st_size, "threads": 2,
        "kernels": machine.machine.instruction_set, "mode": "fast", "prompt_tokens": 64,
        "generated_tokens": 16, "prompt_tokens_per_second": 500.0, "generation": speeds,
        "generation_tokens_per_second": 100.0, "work": work.to_json(),
    }  # fmt: skip
    append_bench_history(BenchResult.from_json(timed, "notes"))
    words = f"plan.models={studio.id_of(example.model.name)}&plan.devices=here"
    page = visit(f"/speed#{words}")
    page.wait_for_selector(f"#f-roof{ANSWERED}")
    timed = [row for row in rows(page, "#f-roof") if row[-1] == "measured"]
    assert [row[2] for row in timed] == ["generate", "prompt"]
    assert [float(cell) for cell in timed[0][6:9]] == [100, 92, 108]
    assert page.locator("#f-roof .timed").count() == 2
    page.locator('#f-roof [data-control="timed"]').uncheck()
    until(page, "document.querySelectorAll('#f-roof .timed').length === 0")


@pytest.mark.parametrize("path", ["/plan", "/speed"])
def test_the_pages_are_as_narrow_as_a_telephone(visit: Any, studio: Studio, path: str) -> None:
    page = visit(path, width=360)
    page.wait_for_selector(f"figure{ANSWERED}")
    assert fits(page, 360)
