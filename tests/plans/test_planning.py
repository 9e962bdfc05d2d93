"""`plan` from Python: the same answers as the command line's, and what bounds its speeds."""

import json

import pytest

import zeropoint
from zeropoint.cli import main
from zeropoint.errors import CheckpointError, RecipeError
from zeropoint.kernels import benchmark_machine
from zeropoint.kernels.benchmark_machine import MachineBenchmark
from zeropoint.kernels.machine import this_machine
from zeropoint.kernels.rates import KernelRate
from zeropoint.metrics.speed.this_machine import load_devices
from zeropoint.plans.machines.catalog import DeviceCatalog, find_device
from zeropoint.plans.machines.device import GIB, custom_device
from zeropoint.plans.memory.memory import compute_buffers, compute_bytes
from zeropoint.plans.planner.options import PlanOptions
from zeropoint.plans.planner.planning import make_question
from zeropoint.plans.planner.ranking import PROMPT_TOKENS, PlanQuestion, format_model
from zeropoint.plans.speed.earlier_results import EarlierResults
from zeropoint.plans.speed.speed import device_costs, generation_speed, prompt_speed
from zeropoint.verbs.plan import describe_model, plan

pytestmark = pytest.mark.usefixtures("clean")


def question_of(**options) -> PlanQuestion:
    return make_question(PlanOptions(**options), EarlierResults(), DeviceCatalog())


def test_the_function_answers_as_the_command_line_does(capsys):
    words = ["plan", "14B", "8B:Q8_0", "--device", "rtx3090", "--device", "m1-max-64gb", "--ctx",
             "32k", "--kv", "q8_0", "--users", "2", "--to", "Q4_K_M", "--json"]  # fmt: skip
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    found = zeropoint.plan("14B", "8B:Q8_0", device=["rtx3090", "m1-max-64gb"], context="32k",
                           kv="q8_0", users=2, to="Q4_K_M")  # fmt: skip
    record = json.loads(json.dumps(found.to_json()))
    assert found.fits and len(found.results) == 4
    assert {key: printed[key] for key in record} == record


def test_models_devices_and_sizes_may_be_things_instead_of_words():
    subject, _ = describe_model("8B")
    typed = plan("8B", memory="24GiB", bandwidth=936.0, context="4k", to=["Q4_K_M"], runs=[])
    given = plan(subject, device=custom_device(24 * GIB, 936e9), context=4096,
                 to="q4_k_m", runs=[])  # fmt: skip
    (one,), (other,) = typed.results, given.results
    assert one.memory == other.memory and one.generation == other.generation


def test_what_is_asked_twice_is_answered_once():
    found = plan("8B", "8B", device="rtx3090,rtx3090", to="Q4_K_M,Q8_0,Q4_K_M", runs=[])
    assert [result.format for result in found.results] == ["Q8_0", "Q4_K_M"]


def test_what_does_not_fit_says_what_to_turn():
    found = plan("14B:Q6_K", device="rtx3060-12gb", context="16k", runs=[])
    assert not found.fits and found.refusal is not None
    (fix,) = (fix for fix in found.refusal.fixes if fix.startswith("--kv q8_0 saves 1.2 GiB"))
    assert "a KL of" in fix  # only caches whose loss was measured are proposed


@pytest.mark.parametrize(
    ("models", "options", "said"),
    [
        ((), {}, "name a model"), (("27B",), {"device": "rtx3091"}, "rtx3090"),
        (("27B",), {"device": "rtx3090", "context": -5}, "-5 tokens"),
        (("27B",), {"bandwidth": 900.0}, "--memory"),
        (("27B",), {"device": "rtx3090", "objective": "best"}, "loss, speed, context"),
        (("27B:Q9_K",), {"device": "rtx3090"}, "Q9_K"),
        (("27B",), {"device": "rtx3090", "runs": ["nowhere"]}, "nowhere"),
        (("27B",), {"device": "rtx3090", "context": "200M"}, "at most"),
        (("27B",), {"device": "rtx3090", "users": 10**6}, "at most"),
        (("27B:",), {"device": "rtx3090"}, "27B:Q4_K_M"),
        ((":Q4_K_M",), {"device": "rtx3090"}, "not a file, a folder, a size"),
        (("",), {"device": "rtx3090"}, "not a file, a folder, a size"),
    ],
)  # fmt: skip
def test_nonsense_is_one_sentence_that_names_what_would_work(models, options, said):
    with pytest.raises((RecipeError, CheckpointError), match=said) as caught:
        plan(*models, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["8B", "30B-A3B", "671B"])
@pytest.mark.parametrize("device", ["rtx3090", "h100-sxm", "m1-max-64gb", "ddr5-5600-64gb"])
def test_no_number_of_users_is_faster_than_the_arithmetic(name, device):
    """Users share what is read; the products of each are its own."""
    machine, (subject, _) = find_device(device), describe_model(name)
    before = 0.0
    for users in (1, 8, 64, 512):
        question = question_of(users=users)
        step = format_model(subject, "Q4_K_M", question).step
        rate = generation_speed(device_costs(machine), step).tokens_per_second
        peak = max(machine.fp16_flops or 0, machine.int8_ops or 25 * machine.bandwidth)
        assert before < rate < peak / (2 * step.active)
        read = sum(step.read.values()) + step.cache
        assert rate < users * machine.bandwidth / read
        before = rate


def test_a_prompt_of_a_mixture_reads_nearly_all_experts():
    """On a fast card that is slower than multiplying with those that each token uses."""
    machine, (subject, _) = find_device("b200"), describe_model("671B")
    reading = format_model(subject, "Q4_K_M", question_of()).prompt_step
    read = sum(reading.read_at_once(PROMPT_TOKENS).values())
    assert 0.99 < read / (sum(reading.dense.values()) + reading.all_experts) <= 1
    rate = prompt_speed(device_costs(machine), reading, PROMPT_TOKENS).tokens_per_second
    assert rate < PROMPT_TOKENS * machine.bandwidth / read


def test_buffers_are_the_largest_moment_and_the_output():
    subject, _ = describe_model("8B")
    demand = question_of(context="8k").workload
    parts = compute_buffers(subject.shape, demand)
    most = max(parts.logits_bytes, parts.layer_bytes, parts.attention_bytes)
    assert parts.total_bytes == most + parts.output_bytes == compute_bytes(subject.shape, demand)
    assert getattr(parts, f"{parts.largest}_bytes") == most


def test_a_result_is_shown_in_a_notebook_and_converts_to_rows():
    result = zeropoint.plan("14B:Q4_K_M", device="RTX3060-12GB", context="16K", objective="Speed",
                            runs=[])  # fmt: skip
    assert repr(result) == "<PlanResult of 1: 14B Q4_K_M fits on RTX 3060 12GB>"
    (row,), (best,) = result.rows(), result.results
    assert (row["model"], row["device"], row["fits"]) == ("14B Q4_K_M", "rtx3060-12gb", True)
    assert row["total_gib"] == best.memory.total_bytes / GIB
    assert f"<td>{best.longest}</td>" in result._repr_html_()


def test_the_local_machine_has_two_names_and_one_id_in_json():
    for name in ("local", "here", "Local"):
        assert load_devices().find(name).id == "here"
    with pytest.raises(RecipeError, match="no device"):
        find_device("local")  # the shipped devices alone do not know this machine


def test_the_machine_is_benchmarked_once_and_after_everything_was_checked(monkeypatch):
    started, measured = [], []

    def measure():
        measured.append(True)
        rates = [KernelRate(name, 2e10, 5e10) for name in ("F16", "Q4_K")]
        return MachineBenchmark(this_machine(), 2, 2e10, 1e11, tuple(rates))

    monkeypatch.setattr(benchmark_machine, "measure_machine", measure)
    with pytest.raises(RecipeError):
        zeropoint.plan("1B", device=["local", "rtx9999"], progress=started.append)
    with pytest.raises(RecipeError):
        zeropoint.plan("1B", host="nowhere", progress=started.append)
    assert not started and not measured
    (best,) = zeropoint.plan("1B:Q4_K_M", context=512, progress=started.append).results
    assert len(started) == len(measured) == 1
    assert best.device.bandwidth == 2e10 and best.generation is not None
