"""`measure` on tiny models: exact zeros, refusals in one sentence, clean resumes."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from support.rounded_models import store_as_q8_0
from support.tiny_models import write_model
from zeropoint.calibration.chunks import read_chunks
from zeropoint.calibration.corpus import read_corpus
from zeropoint.checkpoints import create_checkpoint, open_checkpoint, open_model
from zeropoint.checkpoints.layout import NewTensor
from zeropoint.checkpoints.values import StringArray
from zeropoint.cli import main
from zeropoint.formats import find_format
from zeropoint.metrics.divergence.noise_floor import Bfloat16Inputs, round_to_bfloat16
from zeropoint.metrics.divergence.reference_cache import ReferenceCache
from zeropoint.models import load_model
from zeropoint.quantizers.export import export_folder

Run = Callable[..., tuple[int, dict[str, object], str]]


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "reference.gguf", format="BF16")


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("texts") / "words.txt"
    words = np.random.default_rng(1).choice(["the", "rain", "in", "spain 42", '{"a":'], 3000)
    path.write_text(" ".join(words))
    return path


@pytest.fixture
def measure(text: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*words: object, on: Path | None = None) -> tuple[int, dict[str, object], str]:
        options = ["--text", str(on or text), "--ctx", "32", "--json", "--threads", "1"]
        code = main(["measure", *map(str, words), *options])
        said = capsys.readouterr()
        return code, json.loads(said.out) if said.out else {}, said.err

    return run


def floor_by_softmax(path: Path, text: Path) -> float:
    """KL of the model from itself with rounded inputs, by whole rows of logits in float64."""
    model = load_model(open_model(path), threads=1)
    rounded, kl = Bfloat16Inputs(model), []
    for chunk in read_chunks(read_corpus([text]), model.checkpoint, model.tokenizer, 32, limit=4):
        states = (side.hidden(chunk.tokens[None])[0, 16:31] for side in (model, rounded))
        heads = zip((model, rounded), states, strict=True)
        exact, other = (side.head(rows).astype(np.float64) for side, rows in heads)
        exact -= np.log(np.exp(exact).sum(1, keepdims=True))
        other -= np.log(np.exp(other).sum(1, keepdims=True))
        kl.append((np.exp(exact) * (exact - other)).sum(1))
    return float(np.concatenate(kl).mean())


def test_a_model_against_itself_loses_exactly_nothing(
    measure: Run, reference: Path, text: Path
) -> None:
    code, found, _ = measure(reference, "--ref", reference, "--chunks", 5)
    assert code == 0
    assert found["kl"] == dict.fromkeys(found["kl"], 0.0)
    assert found["top1"] == 1.0
    assert found["perplexity"]["reference"] == found["perplexity"]["quant"]
    assert found["verdict"]["word"] == "INDISTINGUISHABLE"
    assert found["floor"] == pytest.approx(floor_by_softmax(reference, text), rel=1e-9)


def test_the_keys_that_scripts_rely_on(measure: Run, reference: Path) -> None:
    _, found, _ = measure(reference, "--as", "INT4_SYM_G32", "--chunks", 9)
    assert found["tokens"] == 9 * 15
    assert {"mean", "low", "high", "median", "p99", "p999", "max"} <= found["kl"].keys()
    assert {"reference", "quant"} <= found["perplexity"].keys()
    assert found["tokens_per_second"] > 0 and 0 <= found["top1"] <= 1
    assert 0 < found["kl"]["low"] < found["kl"]["mean"] < found["kl"]["high"]
    assert found["floor"] < found["kl"]["mean"]


def test_more_bits_lose_less_and_a_float32_copy_loses_nothing(
    measure: Run, reference: Path
) -> None:
    losses = [
        measure(reference, "--as", name, "--chunks", 4)[1]["kl"]["mean"]
        for name in ("F32", "INT8_ASYM_G32", "INT4_ASYM_G32", "INT2_ASYM_G32")
    ]
    assert losses[0] == 0 and sorted(losses) == losses and len(set(losses)) == 4


def test_a_run_goes_on_and_grows(measure: Run, reference: Path, tmp_path: Path) -> None:
    run = ["--as", "INT4_SYM_ROW", "--run", tmp_path / "run"]
    _, first, _ = measure(reference, *run, "--chunks", 3)
    _, second, _ = measure(reference, *run, "--chunks", 8)
    _, straight, _ = measure(reference, "--as", "INT4_SYM_ROW", "--chunks", 8)
    assert first["tokens"] < second["tokens"] == straight["tokens"]
    assert second["kl"] == straight["kl"] and second["floor"] != 0
    code, _, said = measure(reference, "--as", "INT3_SYM_ROW", "--run", tmp_path / "run")
    assert code == 2 and "holds another run" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("run.json", b"{"),
        ("run.json", b"[]"),
        ("floor.json", b"{}"),
        ("floor.json", b"nonsense"),
        ("chunks/00001.npz", b""),
        ("chunks/00001.npz", b"PK\x03\x04 nonsense"),
    ],
)
def test_a_damaged_run_is_one_sentence_that_names_the_file(
    measure: Run, reference: Path, tmp_path: Path, file: str, content: bytes
) -> None:
    words = [reference, "--as", "INT4_SYM_ROW", "--run", tmp_path / "run", "--chunks", 3]
    measure(*words)
    (tmp_path / "run" / file).write_bytes(content)
    code, _, said = measure(*words)
    assert code == 2 and said.startswith("error: ") and said.count("\n") == 1
    assert Path(file).name in said


def test_a_killed_run_goes_on(reference: Path, text: Path, tmp_path: Path) -> None:
    """SIGKILL between any two instructions; what is in the folder is whole."""
    run = tmp_path / "run"
    command = [
        sys.executable, "-m", "zeropoint", "measure", str(reference), "--as", "INT4_SYM_ROW",
        "--text", str(text), "--ctx", "32", "--json", "--threads", "1", "--run", str(run),
        "--floor-chunks", "1", "--chunks", "40",
    ]  # fmt: skip
    for number in (signal.SIGKILL, signal.SIGINT):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        seen = len(list(run.glob("chunks/*.npz"))) if run.exists() else 0
        while process.poll() is None and len(list(run.glob("chunks/*.npz"))) < seen + 3:
            time.sleep(0.01)
        process.send_signal(number)
        said = process.communicate(timeout=60)[1].decode()
        if number == signal.SIGINT and process.returncode == 130:
            assert "the same command resumes" in said
            assert json.loads((run / "run.json").read_text())["results"]["tokens"] > 0
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    assert json.loads(done.stdout)["complete"] is True
    assert not list(run.rglob("*.part*"))


def test_texts_that_cannot_be_measured(measure: Run, reference: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.txt"
    for content, words in (("", "no text"), ("  \n", "no text"), ("the end", "shorter than one")):
        path.write_text(content)
        code, _, said = measure(reference, "--ref", reference, on=path)
        assert code == 2 and words in said and said.count("\n") == 1
    path.write_bytes(b"\xff\xfe\x00")
    assert "not UTF-8" in measure(reference, "--ref", reference, on=path)[2]
    assert "no such file" in measure(reference, "--ref", reference, on=tmp_path / "none")[2].lower()


def test_other_vocabularies_are_refused(measure: Run, reference: Path, tmp_path: Path) -> None:
    source = open_checkpoint(reference)
    tokens = list(source.metadata["tokenizer.ggml.tokens"])
    changed = [*tokens[:260], "other", *tokens[261:]]
    metadata = dict(source.metadata) | {"tokenizer.ggml.tokens": StringArray.of(changed)}
    path = tmp_path / "other.gguf"
    infos = [NewTensor(t.name, t.shape, t.format) for t in source.tensors.values()]
    with create_checkpoint(path, infos, metadata) as writer:
        for info in infos:
            writer.write(info.name, source.read(info.name).data)
    code, _, said = measure(path, "--ref", reference)
    assert code == 2 and "token 260" in said and said.count("\n") == 1


def test_a_logit_that_is_not_finite_is_named(measure: Run, reference: Path, tmp_path: Path) -> None:
    weights = np.full((318, 256), 0.01, np.float32)
    weights[7, 3] = np.nan
    broken = write_model(tmp_path / "nan.gguf", format="F32", changes={"output.weight": weights})
    code, _, said = measure(broken, "--ref", reference, "--chunks", 2)
    assert code == 2 and "not finite" in said and "chunk 0" in said and "token 7" in said
    assert "quant's logit" in said


def test_a_kept_pass_is_exact_and_is_of_its_reference(
    measure: Run, reference: Path, tmp_path: Path
) -> None:
    words = ["--as", "INT4_SYM_ROW", "--chunks", 4]
    _, straight, _ = measure(reference, *words)
    for _ in range(2):
        _, found, said = measure(reference, *words, "--reference-cache", tmp_path / "states")
        assert found["kl"] == straight["kl"] and found["floor"] == straight["floor"]
        assert "KiB" in said  # its size is told before it is written
    other = write_model(tmp_path / "other.gguf", format="F16")
    code, _, said = measure(other, *words, "--keep", tmp_path / "states")  # its former name
    assert code == 2 and "holds another run" in said


def test_states_are_computed_once(reference: Path) -> None:
    model = load_model(open_model(reference), threads=1)
    kept, tokens = ReferenceCache(model), np.arange(64, dtype=np.int32).reshape(2, 32)
    first = kept.hidden(tokens)
    model.hidden = lambda tokens, cache=None: pytest.fail("computed again")  # type: ignore
    np.testing.assert_array_equal(kept.hidden(tokens[::-1]), first[::-1])


def test_the_floor_rounds_every_input_and_leaves_the_model_alone(reference: Path) -> None:
    model = load_model(open_model(reference), threads=1)
    tokens = np.arange(40, dtype=np.int32)[None]
    before = model.hidden(tokens)
    rounded = Bfloat16Inputs(model)
    seen: list[np.ndarray] = []
    after = rounded.hidden(tokens)
    assert 0 < np.abs(after - before).max() < 0.1
    np.testing.assert_array_equal(model.hidden(tokens), before)
    model.set_hook("blk.0.attn_q.weight", lambda rows, _: seen.append(rows.copy()))
    model.hidden(tokens)
    assert np.any(seen[0].view(np.uint32) & 0xFFFF)  # not bfloat16 by itself
    kept = before.copy()
    rounded.head(before[0])
    np.testing.assert_array_equal(before, kept)


def test_rounding_to_bfloat16_is_to_nearest_even() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.random.default_rng(0).normal(0, 100, 10_000).astype(np.float32)
    values[:3] = 0, -0.0, np.float32(1.00390625)
    expected = values.astype(ml_dtypes.bfloat16).astype(np.float32)
    round_to_bfloat16(values)
    np.testing.assert_array_equal(values.view(np.uint32), expected.view(np.uint32))


def test_gates_decide_the_exit_code(measure: Run, reference: Path) -> None:
    words = [reference, "--as", "INT8_SYM_G32", "--chunks", 9, "--floor-chunks", 0]
    assert measure(*words, "--gate", "kl.mean<0.5", "--gate", "top1>0.1")[0] == 0
    code, found, _ = measure(*words, "--gate", "kl.mean<0.5", "--gate", "kl.mean<1e-9")
    assert code == 1 and [gate["passed"] for gate in found["gates"]] == [True, False]
    assert found["floor"] is None
    assert measure(*words, "--gate", "nonsense")[0] == 2


def test_words_that_do_not_fit_together(measure: Run, reference: Path) -> None:
    for words in ([reference], [reference, "--ref", reference, "--as", "F16"]):
        code, _, said = measure(*words)
        assert code == 2 and "either --ref MODEL or --as WHAT" in said
    code, _, said = measure(reference, "--as", "INT9_SYM_G32")
    assert code == 2 and "INT9_SYM_G32" in said


def test_a_quantized_reference_is_named_as_a_proxy(
    measure: Run, reference: Path, tmp_path: Path
) -> None:
    proxy = store_as_q8_0(reference, tmp_path / "proxy.gguf")
    _, found, said = measure(proxy, "--ref", proxy, "--chunks", 2)
    assert found["reference"]["proxy"] is True and "proxy reference" in said
    code, _, said = measure(proxy, "--as", "INT4_SYM_ROW", "--chunks", 2)
    assert code == 2 and "already quantized" in said


def test_a_hugging_face_folder_is_measured_like_the_file_it_came_from(
    measure: Run, reference: Path, tmp_path: Path
) -> None:
    source = open_model(reference)
    list(export_folder(source, tmp_path / "folder", find_format("F32"), threads=1))
    for words in (
        [tmp_path / "folder", "--ref", reference],
        [reference, "--ref", tmp_path / "folder"],
    ):
        code, found, said = measure(*words, "--chunks", 2)
        assert code == 0, said
        assert found["kl"]["max"] == 0 and found["top1"] == 1
