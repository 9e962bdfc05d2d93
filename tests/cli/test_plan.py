"""`plan`: keys that stay, exit codes, one sentence for nonsense, and what to turn."""

import json
from pathlib import Path

import pytest

from support import published_configs as published
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.cli.exits import DONE, FAILED, NO
from zeropoint.kernels import benchmark_machine
from zeropoint.kernels.benchmark_machine import MachineBenchmark
from zeropoint.kernels.machine import this_machine
from zeropoint.kernels.rates import KernelRate
from zeropoint.plans.speed.earlier_results import bench_work
from zeropoint.plans.speed.speed import SHARES
from zeropoint.results.bench import BenchResult
from zeropoint.results.bench_history import append_bench_history
from zeropoint.verbs.plan import describe_model

KEYS = {"model", "device", "fits", "weights_bytes", "kv_bytes", "compute_bytes", "total_bytes",
        "tokens_per_second"}  # fmt: skip


pytestmark = pytest.mark.usefixtures("clean")


@pytest.fixture
def measured(monkeypatch):
    """This machine, as if it had been measured: 20 GB/s."""
    rates = tuple(KernelRate(name, 1.6e10 * share, 5e10) for name, share in SHARES.items())
    machine = MachineBenchmark(this_machine(), 2, 2e10, 1e11, rates)
    monkeypatch.setattr(benchmark_machine, "load_benchmark", lambda threads=None: machine)
    return machine


def plan(capsys, *words: object) -> tuple[int, dict]:
    code = main(["plan", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_the_keys_that_stay_are_there_and_add_up(tmp_path, capsys):
    path = write_model(tmp_path / "tiny.gguf")
    code, found = plan(capsys, path, "--memory", "2GiB", "--bandwidth", 100, "--ctx", 512)
    assert code == DONE and found["schema"] == "zeropoint.plan/1"
    result = next(row for row in found["results"] if row["format"] == "F16")
    assert set(result) >= KEYS
    parts = ("weights_bytes", "kv_bytes", "compute_bytes")
    assert result["total_bytes"] == sum(result[part] for part in parts)
    with open_checkpoint(path) as opened:
        assert result["weights_bytes"] == sum(t.nbytes for t in opened.tensors.values())
        assert result["file_bytes"] == path.stat().st_size
    assert result["kv_bytes"] == 2 * 2 * 128 * 512 * 2  # layers, K and V, 2 heads of 64, F16
    assert result["basis"]["memory"] == "exact"


@pytest.mark.parametrize(
    ("size", "device", "format", "gigabytes"),
    [("27B", "rtx3090", "Q4_K_M", 17.4), ("14B", "rtx3060-12gb", "Q4_K_M", 9.5)],
)
def test_what_people_quote_comes_out(capsys, size, device, format, gigabytes):
    code, found = plan(capsys, f"{size}:{format}", "--device", device)
    (result,) = found["results"]
    assert code == DONE and result["fits"] and result["longest_context"] > 8192
    assert result["total_bytes"] / 1e9 == pytest.approx(gigabytes, rel=0.03)
    assert result["generation"]["basis"] == "estimated"


@pytest.mark.parametrize(
    ("size", "gigabytes"), [("27B", 54), ("1T", 2000), ("80B", 160), ("8B", 16)]
)
def test_at_16_bits_a_size_is_twice_as_many_bytes(capsys, size, gigabytes):
    code, found = plan(capsys, size, "--to", "F16", "--device", "rtx3090")
    weights = found["results"][0]["weights_bytes"]
    assert weights / 1e9 == pytest.approx(gigabytes, rel=0.01)
    assert code == (NO if gigabytes > 23 else DONE)


def test_a_config_alone_is_enough(tmp_path, capsys):
    folder = tmp_path / "Coder-Next"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(published.CODER_NEXT))
    for path in (folder, folder / "config.json"):
        _, found = plan(capsys, path, "--to", "BF16", "--device", "h200-sxm")
        weights = found["results"][0]["weights_bytes"]
        assert weights / 1e9 == pytest.approx(159.4, rel=0.001)
        assert found["results"][0]["model"] == "Coder-Next BF16"


def test_bigger_at_fewer_bits_comes_before_smaller_at_more_and_says_why(capsys):
    assert main(["plan", "14B", "8B", "--memory", "12GiB", "--bandwidth", "360"]) == DONE
    shown = capsys.readouterr().out
    assert shown.index("14B Q4_K_M") < shown.index("8B Q8_0") < shown.index("14B Q2_K")
    assert "nothing was measured" in shown and "2212.09720" in shown


def test_nothing_fits_is_exit_1_with_what_to_turn(capsys):
    words = ["plan", "14B:Q6_K", "--device", "rtx3060-12gb", "--ctx", "16k"]
    assert main(words) == NO
    said = capsys.readouterr().err
    assert said.startswith("error[plan.does-not-fit]: 14B Q6_K needs 13.5 GiB at 16384 tokens")
    assert "11.0 GiB is usable on RTX 3060 12GB" in said
    assert "--kv q8_0 saves 1.2 GiB" in said and "Q4_K_M (7.9 GiB) fits" in said
    assert "cause:" in said and "next:" in said


def test_a_fix_that_is_proposed_is_true(capsys):
    """A setting that a plan suggests fits when it is planned."""
    main(["plan", "14B:Q6_K", "--device", "rtx3060-12gb", "--ctx", "16k"])
    said = capsys.readouterr().err
    context = said.split("--ctx ")[1].split()[0]
    device = ("--device", "rtx3060-12gb")
    assert plan(capsys, "14B:Q6_K", *device, "--ctx", context)[0] == DONE
    assert plan(capsys, "14B:Q6_K", *device, "--ctx", int(context) + 256)[0] == NO
    assert plan(capsys, "14B:Q4_K_M", *device, "--ctx", "16k")[0] == DONE


def test_a_smaller_cache_is_proposed_until_it_is_enough(capsys):
    """8.4 GiB saved by 8 bits are not enough here; 4 bits are, and it is said what they cost."""
    assert main(["plan", "8B:Q4_K_M", "--device", "rtx3060-12gb", "--ctx", "128k"]) == NO
    said = capsys.readouterr().err
    assert said.index("--kv q8_0 saves") < said.index("--kv q4_0 saves") < said.index("accuracy")
    device = ("--device", "rtx3060-12gb", "--ctx", "128k")
    assert plan(capsys, "8B:Q4_K_M", *device, "--kv", "q8_0")[0] == NO
    assert plan(capsys, "8B:Q4_K_M", *device, "--kv", "q4_0")[0] == DONE


def test_a_model_that_is_none_is_said_before_the_machine_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(
        benchmark_machine, "measure_machine", lambda *_: pytest.fail("measured for nothing")
    )
    assert main(["plan", "nonsense"]) == FAILED
    assert "benchmark" not in capsys.readouterr().err


def test_405b_is_the_dense_model_that_everybody_means(capsys):
    _, found = plan(capsys, "405B:Q4_K_M", "--device", "m3-ultra-512gb")
    assert found["models"][0]["experts"] == 0
    assert sum(layer["count"] for layer in found["models"][0]["layers"]) == 126


def test_other_memory_is_in_the_name_of_a_device(capsys):
    main(["plan", "27B:Q8_0", "--device", "rtx3090", "--ram", "512GiB"])
    assert "with 512 GiB" in capsys.readouterr().out


def test_the_longest_context_fits_and_one_step_more_does_not(capsys):
    device = ("--device", "rtx3090")
    _, found = plan(capsys, "27B:Q4_K_M", *device)
    longest = found["results"][0]["longest_context"]
    assert plan(capsys, "27B:Q4_K_M", *device, "--ctx", longest)[0] == DONE
    assert plan(capsys, "27B:Q4_K_M", *device, "--ctx", longest + 256)[0] == NO


def test_a_quantized_cache_and_more_users_are_counted(capsys):
    def kv(*words: object) -> int:
        return plan(capsys, "8B:Q4_K_M", "--device", "rtx3090", *words)[1]["results"][0]["kv_bytes"]

    assert kv("--kv", "q8_0") * 32 == kv() * 17
    assert kv("--users", 3) == 3 * kv()
    assert kv("--kv", "q8_0/q4_0") * 64 == kv() * 26


def test_the_cheapest_card_that_runs_it_comes_first(capsys):
    _, found = plan(capsys, "27B:Q4_K_M", "--cheapest")
    prices = {row["id"]: row["price_usd"] for row in found["devices"]}
    listed = [prices[row["device"]] for row in found["results"]]
    assert listed == sorted(listed) and all(row["fits"] for row in found["results"])


def test_a_price_of_ones_own_replaces_that_of_the_table(capsys):
    words = ("27B:Q4_K_M", "--cheapest", "--price", "RTX3090=500")
    _, found = plan(capsys, *words)
    assert found["results"][0]["device"] == "rtx3090"
    (card,) = [one for one in found["devices"] if one["id"] == "rtx3090"]
    assert (card["price_usd"], card["gib_per_dollar"]) == (500, 24 / 500)
    assert main(["plan", *words]) == DONE
    assert "$500 (yours)     0.0480" in capsys.readouterr().out
    for wrong in ("rtx3090", "rtx3090=cheap", "rtx3090=0"):
        assert main(["plan", "27B", "--cheapest", "--price", wrong]) == 2
        assert "must be NAME=DOLLARS" in capsys.readouterr().err
    assert main(["plan", "27B", "--price", "rtx309=500"]) == 2


def test_a_column_without_values_is_not_printed(capsys):
    assert main(["plan", "8B", "--device", "rtx3090"]) == DONE
    text = capsys.readouterr().out
    assert "Loss" not in text and "No loss is known" in text


def test_all_devices_are_ranked_and_listed(capsys):
    _, found = plan(capsys, "27B:Q4_K_M", "--all-devices", "--objective", "speed")
    rates = [row["tokens_per_second"] for row in found["results"] if row["fits"]]
    assert len(found["results"]) >= 40 and rates == sorted(rates, reverse=True)
    assert main(["plan", "--all-devices"]) == DONE
    assert "rtx3060-12gb" in capsys.readouterr().out


def test_a_model_larger_than_its_card_is_split(capsys):
    words = ("1T:Q4_K_M", "--device", "rtx5090", "--host", "epyc-12ch-1152gb")
    code, found = plan(capsys, *words)
    (result,) = found["results"]
    assert code == NO and not result["fits"]
    split = result["split"]
    assert split["ssd_bytes"] == 0 and split["expert_layers"] > 50
    assert result["tokens_per_second"] == split["tokens_per_second"] > 5


def test_this_machine_is_the_default_and_bench_moves_its_figures(tmp_path, capsys, measured):
    path = write_model(tmp_path / "tiny.gguf", format="Q8_0")
    _, before = plan(capsys, path, "--ctx", 512)
    (row,) = before["results"]
    assert (row["device"], row["generation"]["basis"]) == ("here", "estimated")
    assert row["generation"]["high"] / row["generation"]["low"] <= 1.61
    bench = {
        "model": str(path), "file_bytes": path.stat().st_size, "threads": 2,
        "kernels": measured.machine.instruction_set, "mode": "fast", "prompt_tokens": 64,
        "generated_tokens": 16, "prompt_tokens_per_second": 500.0,
        "generation_tokens_per_second": 0.5 * row["tokens_per_second"],
        "work": bench_work(describe_model(path)[0], 64, 16).to_json(),
    }  # fmt: skip
    append_bench_history(BenchResult.from_json(bench, "notes"))
    _, after = plan(capsys, path, "--ctx", 512)
    (timed,) = after["results"]
    assert timed["generation"]["basis"] == "measured here"
    assert timed["tokens_per_second"] == pytest.approx(0.5 * row["tokens_per_second"])
    other = write_model(tmp_path / "other.gguf", format="Q8_0", columns=512)
    _, moved = plan(capsys, other, "--ctx", 512)
    assert moved["results"][0]["generation"]["basis"] == "calibrated"
    slow = bench | {"threads": 7, "generation_tokens_per_second": 1e-3}
    append_bench_history(BenchResult.from_json(slow, "notes"))
    assert plan(capsys, path, "--ctx", 512)[1] == after  # timed with other threads: not ours


def test_a_loss_that_was_measured_is_shown(tmp_path, capsys):
    path = write_model(tmp_path / "tiny.gguf", format="Q8_0")
    run = tmp_path / "runs" / "q8"
    run.mkdir(parents=True)
    side = {"name": path.name, "file_bytes": path.stat().st_size}
    record = {
        "schema": 1, "verb": "measure", "settings": {},
        "inputs": {"quant": side, "reference": {"name": "tiny-BF16.gguf"}},
        "results": {"kl": {"mean": 0.0123, "low": 0.011, "high": 0.014}},
    }  # fmt: skip
    (run / "run.json").write_text(json.dumps(record))
    _, found = plan(capsys, path, "--device", "rtx3090")  # ./runs is looked into
    assert found["results"][0]["loss"]["mean"] == 0.0123
    _, found = plan(capsys, path, "--device", "rtx3090", "--runs", run)
    assert found["results"][0]["loss"]["reference"] == "tiny-BF16.gguf"


def test_between_models_the_same_text_ranks_where_it_was_read(tmp_path, capsys):
    """The smaller model wins against the rule of thumb, because `compare` found it better."""
    large = write_model(tmp_path / "large.gguf", format="Q4_0", columns=512)
    small = write_model(tmp_path / "small.gguf", format="Q8_0")
    run = tmp_path / "runs" / "across"
    run.mkdir(parents=True)
    rows = [
        {"name": path.name, "file_bytes": path.stat().st_size,
         "text": {"nats_per_byte": {"mean": nats, "low": nats - 0.01, "high": nats + 0.01},
                  "group": letter}}
        for path, nats, letter in ((large, 0.95, "b"), (small, 0.81, "a"))
    ]  # fmt: skip
    record = {"schema": 1, "verb": "across", "inputs": {}, "settings": {},
              "results": {"results": rows}}  # fmt: skip
    words = (large, small, "--device", "rtx3090")
    assert [row["model"] for row in plan(capsys, *words)[1]["results"]] == ["large", "small"]
    (run / "run.json").write_text(json.dumps(record))
    _, found = plan(capsys, *words)
    assert [row["model"] for row in found["results"]] == ["small", "large"]
    assert found["results"][0]["score"]["value"] == 0.81
    main(["plan", *map(str, words)])
    shown = capsys.readouterr().out
    assert "nats per byte" in shown and "2212.09720" not in shown


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["27B", "--ctx=-5", "--device", "rtx3090"], "tokens"),
        (["27B", "--ctx", "0", "--device", "rtx3090"], "1 or more"),
        (["27B", "--device", "rtx9999"], "no device"),
        (["27B", "--device", "rtx3060"], "rtx3060-12gb"),
        (["org/no-such-model", "--device", "rtx3090"], "HF_HUB_OFFLINE"),
        (["nothing-here", "--device", "rtx3090"], "org/name"),
        (["0B", "--device", "rtx3090"], "not the size"), (["27B", "--memory", "big"], "not a size"),
        (["27B", "--memory", "12G"], "12GB or 12GiB"), (["27B", "--memory", "0"], "without memory"),
        (["27B", "--bandwidth", "900"], "--memory"),
        (["27B", "--memory", "12GiB", "--bandwidth=-1"], "above 0"),
        (["27B", "--kv", "q9", "--device", "rtx3090"], "not a format of the KV cache"),
        (["27B", "--users", "0", "--device", "rtx3090"], "1 or more"),
        (["27B", "--to", "Q9_K", "--device", "rtx3090"], "not a preset"),
        (["27B:Q9_K", "--device", "rtx3090"], "not a preset"),
        (["27B", "--objective", "fun", "--device", "rtx3090"], "no objective"),
        (["27B", "--host", "x", "--device", "rtx3090"], "no device"),
        (["27B", "--ssd", "0", "--device", "rtx3090"], "--ssd"),
        (["27B", "--runs", "nowhere", "--device", "rtx3090"], "not a folder"),
        (["30B-A40B", "--device", "rtx3090"], "that a token uses"), ([], "name a model"),
    ],
)  # fmt: skip
def test_nonsense_is_one_sentence_and_exit_2(words, said, capsys):
    assert main(["plan", *words]) == FAILED
    found = capsys.readouterr()
    assert found.out == "" and found.err.count("\n") == 1
    assert found.err.startswith("error: ") and said in found.err


@pytest.mark.parametrize("missing", ["num_attention_heads", "num_hidden_layers", "vocab_size"])
def test_a_config_without_heads_names_what_is_missing(missing, tmp_path, capsys):
    path = Path(tmp_path / "config.json")
    path.write_text(json.dumps({k: v for k, v in published.LLAMA_8B.items() if k != missing}))
    assert main(["plan", str(path), "--device", "rtx3090"]) == FAILED
    assert missing in capsys.readouterr().err


def test_explain_multiply_shows_the_arithmetic_of_a_device(capsys):
    words = ["explain", "multiply", "--device", "rtx3090", "--format", "Q4_K"]
    assert main(words) == DONE
    shown = capsys.readouterr().out
    assert "2 codes per byte" in shown and "dp4a" in shown and "llama.cpp" in shown
    assert main([*words, "--json"]) == DONE
    assert json.loads(capsys.readouterr().out)["native"] == list(
        ("fp32", "bf16", "fp16", "int8", "int4")
    )
    assert main(["explain", "multiply", "--device", "here"]) == DONE
    assert this_machine().processor in capsys.readouterr().out
    assert main(["explain", "multiply", "--format", "Q4_K"]) == FAILED
    assert "--device" in capsys.readouterr().err
