"""`drift` on the command line: the same models never differ, other ones do, runs are kept."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import zeropoint
from support.tiny_models import vocabulary_size, write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.cli import main
from zeropoint.metrics.generation.divergence_point import PairedGeneration
from zeropoint.models import load_model
from zeropoint.results.drift import DriftResult
from zeropoint.results.run_store import RunFolder
from zeropoint.results.runs import read_run
from zeropoint.verbs.records import StageStarted

FEW = ["--count", "4", "-n", "6", "--chains", "2", "--steps", "2", "--level", "1", "--threads", "1"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("models")
    rows = np.random.default_rng(5).standard_normal((vocabulary_size(), 128)).astype(np.float32)
    paths = [
        write_model(folder / "a.gguf", columns=128),
        write_model(folder / "b.gguf", columns=128, format="Q8_0"),
        write_model(folder / "c.gguf", columns=128, changes={"token_embd.weight": rows}),
    ]
    return [str(path) for path in paths]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, object]:
    assert main(["drift", *words, *FEW, "--json", "-q"]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_model_beside_itself_never_differs(
    models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, models[0], "--ref", models[0])
    for way in ("greedy", "sampled"):
        figures = found["free_run"][way]  # type: ignore[index]
        assert figures["split"]["never"]["mean"] == 1
        assert figures["kl_per_token"]["mean"] == 0
    assert found["chains"]["families"]["sums"]["distinguishable"] is None  # type: ignore[index]


def test_other_weights_part_and_the_page_says_when(
    models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["drift", models[2], "--ref", models[0], *FEW]) == 0
    said = capsys.readouterr().out
    for words in ("half of 4 texts diverge", "KL(reference ‖ quant)", "predicted", "factor",
                  "Same answer", "Chains", "carry arithmetic", "tool calls", "at floor",
                  ):  # fmt: skip
        assert words in said
    found = told(capsys, models[2], "--ref", models[0])
    assert found["free_run"]["greedy"]["split"]["median"] == 1  # type: ignore[index]


def test_a_run_is_kept_and_not_computed_again(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    first = told(capsys, models[1], "--ref", models[0], "--run", str(run))
    times = {path.name: path.stat().st_mtime_ns for path in run.glob("chunks/*")}
    assert len(times) == 8
    again = told(capsys, models[1], "--ref", models[0], "--run", str(run))
    assert again == first
    assert {path.name: path.stat().st_mtime_ns for path in run.glob("chunks/*")} == times
    pairs = json.loads((run / "pairs.json").read_text())
    assert len(pairs) == 8 and pairs[0]["reference"] == "".join(pairs[0]["reference_pieces"])
    chains: Any = RunFolder.open(run).load_table("chains-json")
    assert len(chains["answers"]["1"]) == 2
    del chains["answers"]["1"]  # as if it was stopped between the two models
    RunFolder.open(run).save_table("chains-json", chains)
    assert told(capsys, models[1], "--ref", models[0], "--run", str(run)) == first
    assert len(json.loads((run / "chains-json.json").read_text())["answers"]) == 2
    assert json.loads((run / "run.json").read_text())["results"]["chains"]["families"]
    assert main(["drift", models[2], "--ref", models[0], "--run", str(run), *FEW]) == 2
    assert "holds another run" in capsys.readouterr().err


def test_several_quants_share_the_references_pass(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "runs"
    found = told(capsys, *models[1:], "--ref", models[0], "--run", str(run))
    assert len(found["results"]) == 2  # type: ignore[arg-type]
    alone = told(capsys, models[2], "--ref", models[0])
    assert found["results"][1]["free_run"] == alone["free_run"]  # type: ignore[index]
    assert (run / "01-c" / "run.json").exists()


def test_the_function_returns_what_the_command_prints(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = told(capsys, models[2], "--ref", models[0])
    few: dict[str, Any] = {"count": 4, "tokens": 6, "chains": 2, "steps": 2, "level": 1}
    records: list[object] = []
    result = zeropoint.drift(models[2], models[0], **few, threads=1, progress=records.append)
    assert result.to_json().items() <= printed.items()
    stages = [record.label for record in records if isinstance(record, StageStarted)]
    assert stages == ["generating", "chains"]
    assert [type(record).__name__ for record in records[:2]] == ["DriftStarted", "ModelStarted"]
    opened = [load_model(open_checkpoint(path), threads=1) for path in (models[2], models[0])]
    again = zeropoint.drift(*opened, **few, run=tmp_path / "run")
    assert again == result == read_run(tmp_path / "run").result_as(DriftResult)
    quantized = zeropoint.drift(opened[1], to="int8_sym_g32", count=2, tokens=2, chains=0)
    assert quantized.quant is not None and quantized.quant.name.endswith("int8_sym_g32")
    with pytest.raises(zeropoint.MeasurementError, match="either a reference model or a format"):
        zeropoint.drift(models[0])


def test_options_still_work_by_their_old_names(
    models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    old = told(capsys, models[1], "--ref", models[0], "--way", "greedy", "--together", "2")
    new = told(capsys, models[1], "--ref", models[0], "--decoding", "greedy", "--batch-size", "2")
    assert old == new and list(new["free_run"]) == ["greedy"]  # type: ignore[call-overload]


def test_any_format_can_be_followed_in_memory(
    models: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    found = told(capsys, models[0], "--as", "INT8_SYM_G32")
    assert "INT8_SYM_G32" in found["quant"]["name"]  # type: ignore[index]
    assert main(["drift", models[0]]) == 2
    assert "--ref MODEL or --as" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "wrong"),
    [
        ("a.txt", "\n \n", "the file has no prompts"),
        ("a.jsonl", '{"prompt": "x"}\n{"text": 1}\n', "line 2: expected an object"),
        ("a.jsonl", '{"prompt": "x", "answer": "("}\n', 'line 1: "answer" is not a regular'),
        ("a.jsonl", "{no\n", "line 1: not JSON"),
        (
            "a.jsonl",
            '{"prompt": "x", "answer": "a{99999999999}"}',
            'line 1: "answer" is not a regular',
        ),
    ],
)
def test_a_bad_prompt_file_is_one_sentence(
    models: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    text: str,
    wrong: str,
) -> None:
    (tmp_path / name).write_text(text)
    assert main(["drift", models[0], "--ref", models[0], "--prompts", str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert wrong in said and said.count("\n") == 1


def test_an_interrupted_run_says_that_it_goes_on(
    models: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PairedGeneration, "_score", stopped)
    words = ["drift", models[2], "--ref", models[0], *FEW, "--run"]
    assert main([*words, str(tmp_path / "run")]) == 130
    assert "holds the finished work; the same command resumes it" in capsys.readouterr().err


def test_a_prompt_that_fits_no_context_costs_the_others_nothing(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "short.txt").write_text("One\nTwo three\n")
    (tmp_path / "long.txt").write_text(f"One\n\n{'many words ' * 2000}\nTwo three\n")
    words = ["drift", models[2], "--ref", models[0], "--chains", "0", "-n", "4", "--json"]
    found = []
    for name in ("short.txt", "long.txt"):
        assert main([*words, "--prompts", str(tmp_path / name)]) == 0
        captured = capsys.readouterr()
        found.append(json.loads(captured.out))
    assert "the prompt of line 3 is left out" in captured.err
    assert [one["line"] for one in found[1]["left_out"]] == [3]
    assert found[0]["free_run"] == found[1]["free_run"] and found[1]["prompts"] == 2
    (tmp_path / "all.txt").write_text("many words " * 2000)
    assert main([*words, "--prompts", str(tmp_path / "all.txt")]) == 2
    assert "no prompt fits" in capsys.readouterr().err


def test_models_with_other_tokens_are_compared_by_text(
    models: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = str(write_other_vocabulary(tmp_path / "d.gguf"))
    words = ["drift", other, "--ref", models[0], *FEW, "--run", str(tmp_path / "run")]
    assert main([*words, "--json", "-q"]) == 0
    captured = capsys.readouterr()
    assert "texts and answers are compared instead" in captured.err
    found = json.loads(captured.out)
    assert found["texts"]["prompts"] == 4 and "free_run" not in found
    assert found["chains"]["families"]["sums"]["chains"] == 2
    times = [path.stat().st_mtime_ns for path in sorted((tmp_path / "run").glob("texts-*"))]
    assert len(times) == 2
    assert main([*words, "-q"]) == 0
    assert "Same answer" in capsys.readouterr().out
    assert [p.stat().st_mtime_ns for p in sorted((tmp_path / "run").glob("texts-*"))] == times


def write_other_vocabulary(path: Path) -> Path:
    """The same model, with two letters in each other's place."""
    from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint

    model = open_checkpoint(write_model(path.with_suffix(".a.gguf"), columns=128))
    words = list(model.metadata["tokenizer.ggml.tokens"])  # type: ignore[call-overload]
    words[260], words[261] = words[261], words[260]
    facts = {**model.metadata, "tokenizer.ggml.tokens": StringArray.of(words)}
    tensors = [NewTensor(t.name, t.shape, t.format) for t in model.tensors.values()]
    with create_checkpoint(path, tensors, facts) as writer:
        for tensor in tensors:
            writer.write(tensor.name, model.read(tensor.name).data)
    return path
