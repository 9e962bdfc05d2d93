"""Speed: what is counted, who takes turns, and what is said when somebody does not answer."""

import json
import math
from pathlib import Path

import pytest

import zeropoint
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.errors import MeasurementError
from zeropoint.kernels.machine import BandwidthProbe, Peaks
from zeropoint.metrics.speed import bench
from zeropoint.metrics.speed.bench import (
    BenchRun,
    BenchWorker,
    BenchWorkload,
    ContestantLoaded,
    RepetitionTimed,
    contestant_of,
)
from zeropoint.metrics.speed.cost import cost_of
from zeropoint.results.bench import Spread
from zeropoint.results.run_store import RunFolder

SHORT = BenchWorkload(prompt=24, generate=6, repetitions=2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(autouse=True)
def peaks(monkeypatch: pytest.MonkeyPatch) -> Peaks:
    """Peaks without a GiB of reading."""
    known = Peaks(1, 1e10, 1 << 20, 1e11)
    monkeypatch.setattr(bench, "measure_peaks", lambda *_: known)
    monkeypatch.setattr(bench, "best_buffer", lambda _: known.buffer_bytes)
    monkeypatch.setattr(BandwidthProbe, "rate", lambda *_: known.read_bytes_per_second)
    return known


def test_a_token_reads_every_weight_once_and_one_row_of_the_embedding(tiny: Path) -> None:
    with open_checkpoint(tiny) as model:
        rows = model.tensors["token_embd.weight"].rows
        all_of_it = sum(info.nbytes for info in model.tensors.values())
        embedding = model.tensors["token_embd.weight"].nbytes
        found = cost_of(model, 0)
    assert found.bytes_per_token == all_of_it - embedding + embedding // rows
    assert found.flops == 0


def test_the_operations_of_a_prompt_are_counted_by_hand(tiny: Path) -> None:
    """Two layers of width 256, 4 heads of 64, 2 of them for keys, 512 inner; the head once."""
    tokens, width, inner, kv = 100, 256, 512, 128
    layer = tokens * (2 * width * width + 2 * kv * width + 3 * inner * width)
    seen = sum(range(1, tokens + 1)) * 4 * (64 + 64)
    with open_checkpoint(tiny) as model:
        head = model.tensors["output.weight"].rows * width
        assert cost_of(model, tokens).flops == 2 * (2 * (layer + seen) + head)


def test_of_experts_those_count_that_a_token_uses(tmp_path: Path) -> None:
    path = write_model(tmp_path / "moe.gguf", experts=4)
    with open_checkpoint(path) as model:
        experts = sum(
            i.nbytes for name, i in model.tensors.items() if name.endswith("_exps.weight")
        )
        others = sum(i.nbytes for i in model.tensors.values()) - experts
        embedding = model.tensors["token_embd.weight"]
        others -= embedding.nbytes - embedding.nbytes // embedding.rows
        assert cost_of(model, 0).bytes_per_token == others + experts // 2


def test_the_models_take_turns(tiny: Path, tmp_path: Path) -> None:
    other = write_model(tmp_path / "other.gguf", format="Q8_0")
    job = BenchRun(tiny, SHORT, versus=other)
    records = list(job.run())
    assert [record.done for record in records] == list(range(1, job.total + 1))
    kinds = [(type(record), record.contestant) for record in records]
    assert kinds == [
        (ContestantLoaded, 0),
        (ContestantLoaded, 1),
        *[(RepetitionTimed, 0), (RepetitionTimed, 1)] * 2,
    ]


def test_figures_fit_each_other(tiny: Path, tmp_path: Path, peaks: Peaks) -> None:
    other = write_model(tmp_path / "other.gguf", format="Q8_0")
    job = BenchRun(tiny, SHORT, versus=other)
    mine = [r for r in job.run() if isinstance(r, RepetitionTimed) and r.contestant == 0]
    found = job.results()
    rates = sorted(SHORT.generate / record.generation_seconds for record in mine)
    sd = math.sqrt(2) * (rates[1] - rates[0]) / 2  # of two
    assert found.generation is not None and found.generation.sd == pytest.approx(sd)
    assert found.generation == Spread(sum(rates) / 2, rates[0], rates[1], found.generation.sd)
    assert found.generation_tokens_per_second == sum(rates) / 2
    moved = sum(rates) / 2 * job.contestants[0].cost.bytes_per_token
    assert found.bandwidth_fraction is not None
    assert math.isclose(found.bandwidth_fraction, moved / peaks.read_bytes_per_second)
    assert found.peak_memory_bytes > found.file_bytes
    assert found.vs is not None and found.vs.ratio.prompt is not None
    beside = found.vs.ratio.prompt
    assert beside.min <= beside.median <= beside.max


def test_the_command_prints_its_keys_and_keeps_them(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["-p", "16", "-n", "4", "-r", "1", "--threads", "1", "--run", str(tmp_path / "run")]
    assert main(["bench", str(tiny), *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for key in ("prompt_tokens_per_second", "generation_tokens_per_second", "bandwidth_fraction"):
        assert found[key] > 0
    kept = RunFolder.open(tmp_path / "run").results
    assert kept["generation"] == found["generation"]
    assert kept["peaks"] == found["peaks"]


def test_options_still_work_by_their_old_names(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for names in (("--prompt-tokens", "--tokens"), ("--prompt", "--generate")):
        words = [word for pair in zip(names, ("0", "2"), strict=True) for word in pair]
        assert main(["bench", str(tiny), *words, "-r", "1", "--threads", "1", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["prompt_tokens"], found["generated_tokens"]) == (0, 2)


def test_the_function_returns_what_the_command_prints(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The keys, and every figure that is no timing."""
    words = ["-p", "16", "-n", "4", "-r", "1", "--threads", "1", "--json"]
    assert main(["bench", str(tiny), *words]) == 0
    printed = json.loads(capsys.readouterr().out)
    records: list[object] = []
    result = zeropoint.bench(
        tiny, prompt_tokens=16, tokens=4, repetitions=1, threads=1, progress=records.append
    )
    returned = result.to_json()
    assert list(returned) == [key for key in printed if key not in ("schema", "zeropoint")]
    for key in ("model", "engine", "file_bytes", "bytes_per_token", "mode", "work", "threads"):
        assert returned[key] == printed[key]
    assert [type(record).__name__ for record in records] == [
        "StageStarted", "ContestantLoaded", "RepetitionTimed",
    ]  # fmt: skip
    with zeropoint.open_checkpoint(tiny) as checkpoint:
        assert zeropoint.bench(checkpoint, prompt_tokens=0, tokens=2, repetitions=1).model == str(
            tiny
        )


def test_only_one_of_the_two_parts_may_be_asked_for(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", str(tiny), "-p", "0", "-n", "3", "-r", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["prompt_tokens_per_second"] is None
    assert found["generation_tokens_per_second"] > 0
    assert main(["bench", str(tiny), "-p", "8", "-n", "0", "-r", "1"]) == 0
    assert "tokens/s" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-p", "0", "-n", "0"], "nothing to time"),
        (["-p", "510", "-n", "3"], "context of 512"),
        (["-p", "8", "--peer", "vllm"], "supported: llama.cpp"),
        (["-p", "8", "--peer", "llama.cpp"], "pip install llama-cpp-python"),
        (["-p", "8", "--vs", "missing.gguf"], "missing.gguf"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    words: list[str],
    says: str,
    tiny: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert main(["bench", str(tiny), *words]) == 2
    told = capsys.readouterr().err
    assert says in told and told.count("\n") == 1


FAKE = """
class Llama:
    def __init__(self, path, *, n_ctx, n_batch, n_ubatch, n_threads, n_threads_batch, verbose):
        print("a library that talks")
        self._ctx = type("Context", (), {"ctx": None})
        self._left = n_ctx
    def n_vocab(self): return 5
    def reset(self): pass
    def eval(self, tokens):
        assert all(0 <= token < 5 for token in tokens)
def llama_get_memory(context): return None
def llama_memory_clear(memory, data): pass
"""


def test_a_peer_runs_the_same_file(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "llama_cpp.py").write_text(FAKE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    job = BenchRun(tiny, SHORT, peer="llama.cpp")
    assert len(list(job.run())) == job.total
    peer = job.results().peer
    assert peer is not None and peer.engine == "llama.cpp"
    assert peer.ratio.generation is not None
    assert peer.ratio.generation.median < 1  # it does nothing


def test_a_peer_that_cannot_load_says_why(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with BenchWorker(contestant_of(tiny, "llama.cpp", SHORT), SHORT) as worker:
        monkeypatch.undo()
        try:
            worker.load()
        except MeasurementError as error:
            assert "llama.cpp cannot load this model" in str(error)
        else:
            pytest.skip("llama.cpp is installed here")


def test_a_process_that_dies_is_named(tiny: Path) -> None:
    with BenchWorker(contestant_of(tiny, "zeropoint", SHORT), SHORT) as worker:
        worker.load()
        worker._child.kill()
        with pytest.raises(
            MeasurementError, match=r"zeropoint on .*tiny.* ended with signal SIGKILL"
        ):
            worker.repeat(0, 1)
