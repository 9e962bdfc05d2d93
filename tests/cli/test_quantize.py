"""`quantize` as people and scripts type it."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main

ZEROPOINT = [sys.executable, "-m", "zeropoint"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("models") / "tiny.gguf")


def zeropoint(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ZEROPOINT, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_the_keys_that_scripts_rely_on_are_there(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    done = zeropoint("quantize", tiny, output, "--to", "BF16", "--json")
    assert done.returncode == 0 and done.stderr == ""
    result = json.loads(done.stdout)
    assert result["output_bytes"] == output.stat().st_size
    with open_checkpoint(tiny) as source:
        elements = sum(info.elements for info in source.tensors.values())
    assert result["bits_per_weight"] == 8 * output.stat().st_size / elements
    assert result["seconds"] > 0
    assert result["weights_per_second"] > 0
    assert 10**7 < result["peak_memory_bytes"] < 2**29
    assert result["fallbacks"] == []
    assert {row["name"] for row in result["tensors"]} >= {"token_embd.weight", "output.weight"}


def test_a_dry_run_tells_the_exact_size_and_writes_nothing(tiny: Path, tmp_path: Path) -> None:
    dry = json.loads(zeropoint("quantize", tiny, "--to", "BF16", "--dry-run", "--json").stdout)
    assert dry["dry_run"] is True
    assert all(row["reason"] for row in dry["tensors"])
    output = tmp_path / "out.gguf"
    zeropoint("quantize", tiny, output, "--to", "BF16", "--dry-run")
    assert not output.exists()
    done = json.loads(zeropoint("quantize", tiny, output, "--to", "BF16", "--json").stdout)
    assert dry["output_bytes"] == done["output_bytes"] == output.stat().st_size
    assert dry["bits_per_weight"] == done["bits_per_weight"]
    assert dry["recipe"] == done["recipe"]


def test_what_will_not_be_written_is_refused_before_anything_else_is_said(tmp_path: Path) -> None:
    odd = write_model(tmp_path / "odd.gguf", columns=192, format="Q8_0")
    done = zeropoint("quantize", odd, tmp_path / "out.gguf", "--to", "Q4_K_M")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--requantize" in done.stderr


def test_a_stand_in_for_a_format_is_never_silent(tmp_path: Path) -> None:
    odd = write_model(tmp_path / "odd.gguf", columns=192)  # rows of 192: no multiple of 256
    done = zeropoint("quantize", odd, "--to", "Q4_K_M", "--dry-run", "--json")
    result = json.loads(done.stdout)
    assert {row["wanted"] for row in result["fallbacks"]} == {"Q4_K", "Q6_K"}
    assert {row["format"] for row in result["fallbacks"]} == {"Q5_0", "Q8_0"}
    assert "warning: 12 tensors get Q5_0 instead of Q4_K" in done.stderr


def test_a_hugging_face_folder_is_quantized_like_a_file(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    from support import hf_folders

    folder = hf_folders.make_folder("qwen2", tmp_path / "model")
    output = tmp_path / "out.gguf"
    done = zeropoint("quantize", folder, output, "--to", "Q8_0", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["output_bytes"] == output.stat().st_size
    with open_checkpoint(output) as written:
        assert written.tensors["blk.3.ffn_up.weight"].format.name == "Q8_0"
    seen = json.loads(zeropoint("inspect", folder, "--json").stdout)
    assert {row["name"] for row in seen["tensors"]} == {row["name"] for row in result["tensors"]}


def test_what_is_for_people_says_the_same(tiny: Path, tmp_path: Path) -> None:
    done = zeropoint("quantize", tiny, tmp_path / "out.gguf", "--to", "BF16")
    assert done.returncode == 0
    assert "ffn_down" in done.stdout and "bits per weight" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.gguf", "out.gguf", "--to", "BF16"], "nothing.gguf: there is no such file"),
        (["TINY", "out.gguf", "--to", "Q9_K"], "'Q9_K' is not a preset"),
        (["TINY", "out.gguf"], "--to"),
        (["TINY", "--to", "BF16"], "--dry-run"),
        (["TINY", "out.gguf", "--to", "none.recipe"], "none.recipe"),
        (["TINY", "out.gguf", "--to", "INT4_SYM_G32"], "no type in GGUF"),
        (["TINY", "--to", "INT4_SYM_ROW", "--dry-run"], "INT4_SYM_ROW has no type in GGUF"),
        (["TINY", "out.txt", "--to", "BF16"], ".gguf"),
        (["TINY", "nowhere/out.gguf", "--to", "BF16"], "directory does not exist"),
        (["TINY", "out.gguf", "--to", "BF16", "--tensor-type", "x"], "PATTERN=TYPE"),
        (
            ["TINY", "out.gguf", "--to", "BF16", "--tensor-type", "[=Q8_0"],
            "is not a regular expression",
        ),
        (["TINY", "out.gguf", "--to", "BF16", "--imatrix", "TINY"], "not an importance matrix"),
        (["TINY", "out.gguf", "--to", "BF16", "--split-max-size", "2G"], "2GiB"),
        (["TINY", "out.gguf", "--to", "BF16", "--threads", "0"], "threads"),
        (["TINY", "out.gguf", "--to", "IQ2_XXS"], "--imatrix FILE"),
        (["TINY", "out.gguf", "--to", "IQ3_XXS"], "--text FILE"),
        ([".", "out.gguf", "--to", "BF16"], ""),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_code_2(
    tiny: Path,
    tmp_path: Path,
    words: list[str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["quantize", *(str(tiny) if word == "TINY" else word for word in words)]) == 2
    heard = capfd.readouterr()
    assert heard.out == ""
    assert said in heard.err
    assert heard.err.startswith("error: ") and heard.err.count("\n") == 1
    assert len(heard.err) < 400
    assert list(tmp_path.iterdir()) == []


def test_progress_for_programs_is_one_object_a_line(tiny: Path, tmp_path: Path) -> None:
    words = ("quantize", tiny, tmp_path / "out.gguf", "--to", "BF16", "--progress", "json")
    done = zeropoint(*words)
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["done"] for line in lines] == sorted(line["done"] for line in lines)
    assert lines[-1]["record"] == "OutputWritten"
    assert lines[-1]["done"] == lines[-1]["total"]
    kinds = {line["record"] for line in lines}
    assert kinds == {"RowsWritten", "TensorWritten", "OutputWritten"}


def test_a_run_folder_keeps_the_evidence(tiny: Path, tmp_path: Path) -> None:
    import numpy as np

    folder = tmp_path / "run"
    output = tmp_path / "out.gguf"
    done = zeropoint("quantize", tiny, output, "--to", "BF16", "--run", folder)
    assert done.returncode == 0
    head = json.loads((folder / "run.json").read_text())
    assert head["schema"] == 1 and head["verb"] == "quantize"
    assert head["inputs"]["source"] == ["tiny.gguf"]
    assert head["results"]["output_bytes"] == output.stat().st_size
    rows = json.loads((folder / "tensors.json").read_text())
    with np.load(folder / "hist.npz") as arrays:
        names = arrays["names"].tolist()
        assert names == [row["name"] for row in rows if row["relative_error"] is not None]
        for row, counts in zip(
            (r for r in rows if r["name"] in names), arrays["weights"], strict=True
        ):
            assert counts.sum() == np.prod(row["shape"])
            assert row["worst_block"]["error"] > 0
    everything = b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
    assert str(tmp_path).encode() not in everything


def start(source: Path, output: Path) -> subprocess.Popen[bytes]:
    words = ["quantize", source, output, "--to", "F32", "--overwrite", "--threads", "1"]
    words += ["--progress", "none"]
    return subprocess.Popen(
        [*ZEROPOINT, *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )


def finish(process: subprocess.Popen[bytes]) -> int:
    with process:
        process.communicate()
    return process.returncode


def check_kills(tmp_path: Path, moments: int, number: int) -> None:
    """End `quantize` at random moments, over an old output: it is the old bytes or the new ones."""
    source = write_model(tmp_path / "source.gguf", experts=8)
    output = tmp_path / "out.gguf"
    begun = time.monotonic()
    assert finish(start(source, output)) == 0
    whole = time.monotonic() - begun
    new, old = output.read_bytes(), b"the old file" * 1000
    chance = random.Random(number)
    seen = set()
    for moment in range(moments):
        output.write_bytes(old)
        with start(source, output) as process:
            time.sleep(whole * (moment + chance.random()) / moments)
            process.send_signal(number)
            _, said = process.communicate()
        code = process.returncode
        found = output.read_bytes()
        assert found in (old, new), "a damaged output"
        seen.add(found == new)
        assert (code == 0) <= (found == new)
        if number != signal.SIGKILL:
            # Before Python has installed its handlers a signal ends the process by itself.
            assert code in (0, 130, -number, 1)
            assert b"Traceback" not in said or code in (1, -number)
    leftovers = {path.name for path in tmp_path.iterdir()} - {"source.gguf", "out.gguf"}
    assert leftovers <= {".out.gguf.part"}
    assert finish(start(source, output)) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"source.gguf", "out.gguf"}
    assert output.read_bytes() == new


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ending_it_at_any_moment_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, number: int
) -> None:
    check_kills(tmp_path, 3, number)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ending_it_at_50_moments_leaves_the_old_file_or_the_new_one(
    tmp_path: Path, number: int
) -> None:
    check_kills(tmp_path, 50, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_is_130_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    source = write_model(tmp_path / "source.gguf", experts=8)
    output = tmp_path / "out.gguf"
    words = ["quantize", source, output, "--to", "F32", "--progress", "json", "--threads", "1"]
    command = [*ZEROPOINT, *map(str, words)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the first record: writing has begun
        process.send_signal(number)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("interrupted")
    assert "Traceback" not in rest
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source.gguf"]


@pytest.mark.parametrize("limit", [0, 4096, 10**6, 3 * 10**6])
def test_a_full_disk_never_damages_the_old_file(tiny: Path, tmp_path: Path, limit: int) -> None:
    """A limit on the size of files ends a write as a full disk does."""
    output = tmp_path / "out.gguf"
    output.write_bytes(b"old")

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*ZEROPOINT, "quantize", tiny, output, "--to", "F32", "--overwrite"],
        capture_output=True,
        text=True,
        preexec_fn=small_disk,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and "full" in done.stderr
    assert output.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["out.gguf"]


def test_a_name_without_suffix_is_explained_where_it_cannot_be_meant(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "outdir"
    for to in ("Q4_K_M", "q8_0", "mine.recipe"):
        assert main(["quantize", str(tiny), str(output), "--to", to]) == 2
        told = capsys.readouterr().err
        assert f"did you mean {output}.gguf?" in told and "F32, F16 or BF16" in told
    assert main(["quantize", str(tiny), str(tmp_path / "out.bin"), "--to", "F16"]) == 2
    told = capsys.readouterr().err
    assert ".gguf or .safetensors" in told and "no suffix" in told
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [["--pure"], ["--leave-output-tensor"], ["--imatrix", "im.gguf"], ["--run", "r"],
     ["--tensor-type", "a=F16"], ["--output-tensor-type", "F16"], ["--split-max-size", "1GiB"],
     ["--token-embedding-type", "F16"]],
)  # fmt: skip
def test_an_option_that_a_folder_has_no_use_for_is_refused(
    words: list[str], tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "outdir"
    assert main(["quantize", str(tiny), str(output), "--to", "BF16", *words]) == 2
    assert words[0] in capsys.readouterr().err
    assert not output.exists()
