"""Several quants: what differs is shown to differ, what does not shares a letter."""

import json
from pathlib import Path

import numpy as np
import pytest

from support.table_models import FakeModel, random_tokens
from support.tiny_models import write_model
from zeropoint.calibration.chunks import cut_chunks
from zeropoint.cli import main
from zeropoint.errors import MeasurementError, ZeropointError
from zeropoint.metrics.divergence.ladder import LADDER_PRESETS, largest_step, parse_levels
from zeropoint.metrics.divergence.ranking import QuantScores, group_letters, rank, separable
from zeropoint.metrics.divergence.score_chunks import score_chunks
from zeropoint.metrics.divergence.summary import summarize
from zeropoint.results.allocation import SearchResult
from zeropoint.results.runs import read_run


def entry(noise: float, seed: int, nbytes: int = 100, chunks: int = 16) -> QuantScores:
    cut = cut_chunks({"text": random_tokens(32 * chunks)}, 32)
    quant = FakeModel(noise=noise, seed=seed)
    found = list(score_chunks(FakeModel(), quant, cut))
    return QuantScores(f"{noise}/{seed}", nbytes, found, summarize(found))


def test_a_clear_difference_is_told_and_a_small_one_is_not() -> None:
    a, b, c = entry(0.3, 1), entry(0.3, 2), entry(0.6, 3)
    ranked = rank([c, a, b])
    assert ranked[2].name == c.name
    assert not set(ranked[2].group) & set(ranked[0].group + ranked[1].group)
    same = rank([a, a])
    assert same[0].group == same[1].group == "a"


def test_quants_of_the_same_noise_are_rarely_told_apart() -> None:
    """Five per cent of pairs may be; ten quants of one size make 45 pairs, corrected together."""
    ranked = rank([entry(0.3, seed) for seed in range(6)])
    assert sum(len(r.group) > 0 for r in ranked) == 6


def test_the_frontier_holds_what_nothing_smaller_beats() -> None:
    good, large, small = entry(0.1, 1, 100), entry(0.5, 2, 200), entry(0.9, 3, 50)
    told = {r.bytes: r.frontier for r in rank([good, large, small])}
    assert told == {100: True, 200: False, 50: True}


def test_different_texts_are_not_ranked() -> None:
    with pytest.raises(MeasurementError, match="different text"):
        rank([entry(0.3, 1), entry(0.3, 2, chunks=9)])


def test_false_alarms_are_rarer_than_one_in_twenty_over_all_pairs() -> None:
    generator = np.random.default_rng(8)
    alarms = sum(bool(separable(list(generator.normal(0, 1, (4, 12)))).any()) for _ in range(200))
    assert alarms <= 20  # 10 expected at most; 20 is three deviations above


def test_letters_join_neighbours() -> None:
    different = np.zeros((4, 4), bool)
    assert group_letters(different) == ["a"] * 4
    different[:] = ~np.eye(4, dtype=bool)
    assert group_letters(different) == ["a", "b", "c", "d"]


def test_levels_are_bits_or_names() -> None:
    assert [level.format for level in parse_levels("16, 4,q4_k_m,FP4_E2M1_G32", "G128")] == [
        "BF16", "INT4_SYM_G128", "INT4_ASYM_G128", "Q4_K_M", "FP4_E2M1_G32",
    ]  # fmt: skip
    for wrong in ("", "7.5", "9", "Q4_Z"):
        with pytest.raises(ZeropointError):
            parse_levels(wrong)


def test_the_largest_step_is_within_a_kind() -> None:
    levels = parse_levels("16,4,3")  # 16, 4 sym, 4 asym, 3 sym, 3 asym
    assert largest_step(levels, [1.0, 0.9, 0.95, 0.5, 0.8]) == 3
    assert largest_step(levels[:1], [1.0]) is None


def test_ladder_and_compare_on_a_tiny_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "reference.gguf", format="BF16")
    copy = write_model(tmp_path / "copy.gguf", format="BF16")
    noise = np.random.default_rng(1).normal(0, 0.02, (512, 256)).astype(np.float32)
    worse = write_model(tmp_path / "worse.gguf", changes={"blk.0.ffn_up.weight": noise})
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain " * 200)
    words = ["--text", str(text), "--ctx", "32", "--chunks", "9", "--threads", "1", "--json"]
    run = ["--run", str(tmp_path / "runs")]
    assert main(["ladder", str(model), "--levels", "16,8,2", *words, *run]) == 0
    found = json.loads(capsys.readouterr().out)
    levels = {row["format"]: row for row in found["levels"]}
    assert levels["BF16"]["kl"]["mean"] == 0
    assert levels["BF16"]["prompt_tokens_per_second"] > 0
    assert levels["INT8_SYM_G32"]["prompt_tokens_per_second"] is None
    assert levels["INT2_SYM_G32"]["kl"]["mean"] > 10 * levels["INT8_SYM_G32"]["kl"]["mean"] > 0
    assert 2.4 < levels["INT2_SYM_G32"]["bits_per_weight"] < 3
    assert found["largest_step"] in (3, 4)
    assert len(list((tmp_path / "runs").glob("*/run.json"))) == 5
    # The same command goes on from there: only the level that is not whole is made again.
    (tmp_path / "runs/02-INT8_ASYM_G32/chunks/00008.npz").unlink()
    (tmp_path / "runs/02-INT8_ASYM_G32/speed.json").unlink()
    assert main(["ladder", str(model), "--levels", "16,8,2", *words, *run]) == 0
    told = capsys.readouterr()
    for again, before in zip(json.loads(told.out)["levels"], found["levels"], strict=True):
        assert again["kl"] == before["kl"] and again["floor"] == found["floor"]
    assert json.loads(told.out)["levels"][0] == found["levels"][0]  # with the speed it had

    both = ["compare", str(copy), str(worse), str(copy), "--ref", str(model), *words]
    assert main(both) == 0
    found = json.loads(capsys.readouterr().out)
    names = [(row["name"], row["kl"]["mean"] == 0) for row in found["results"]]
    assert names == [("copy.gguf", True), ("copy.gguf", True), ("worse.gguf", False)]
    groups = [row["group"] for row in found["results"]]
    assert groups[0] == groups[1] == "a" and "a" not in groups[2]
    assert found["inseparable"] == [["copy.gguf", "copy.gguf"]]


def test_files_of_two_uploaders_are_named_apart_and_the_report_says_what_is_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "reference.gguf", format="BF16")
    noise = np.random.default_rng(1).normal(0, 0.02, (512, 256)).astype(np.float32)
    files = []
    for uploader, changes in (("ann", {}), ("bob", {}), ("eve", {"blk.0.ffn_up.weight": noise})):
        (tmp_path / uploader).mkdir()
        files.append(str(write_model(tmp_path / uploader / "q.gguf", changes=changes)))
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain " * 200)
    page = tmp_path / "report.html"
    words = ["--text", str(text), "--ctx", "32", "--chunks", "9", "--threads", "1"]
    run = ["--run", str(tmp_path / "runs"), "--report", str(page)]
    assert main(["compare", *files, "--ref", str(model), *words, *run]) == 0
    alike = "ann/q.gguf, bob/q.gguf."
    assert f"Cannot be told apart (more text may): {alike}" in " ".join(
        capsys.readouterr().out.split()
    )
    assert ": ann/q.gguf and bob/q.gguf.</p>" in page.read_text()


def test_presets_are_added_to_a_ladder_and_those_that_need_importance_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "reference.gguf", format="BF16")
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain " * 100)
    words = ["--text", str(text), "--ctx", "32", "--chunks", "2", "--threads", "1", "--json"]
    assert main(["ladder", str(model), "--levels", "Q4_K_M", "--with", "presets", *words]) == 0
    told = capsys.readouterr()
    found = json.loads(told.out)["levels"]
    assert "IQ3_XXS, IQ2_M need importance" in " ".join(told.err.split())
    assert [(row["format"], row["kind"]) for row in found] == [
        ("Q4_K_M", ""), *((name, "preset") for name in LADDER_PRESETS
                          if name not in ("Q4_K_M", "IQ3_XXS", "IQ2_M"))]  # fmt: skip
    written = tmp_path / "written.gguf"
    assert main(["quantize", str(model), str(written), "--to", "Q3_K_M", "-q"]) == 0
    level = next(row for row in found if row["format"] == "Q3_K_M")
    assert level["file_bytes"] == written.stat().st_size
    assert main(["ladder", str(model), "--with", "wishes", *words]) == 2


@pytest.mark.slow
def test_the_best_recipe_of_the_size_of_each_file_is_added_to_a_ladder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("transformers")
    model, imatrix = str(tmp_path / "reference.gguf"), str(tmp_path / "importance.gguf")
    write_model(Path(model), format="BF16")
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain " * 100)
    words = ["--text", str(text), "--ctx", "32", "--chunks", "2", "--threads", "1"]
    assert main(["calibrate", model, "-o", imatrix, *words, "-q"]) == 0
    levels = ["ladder", model, "--levels", "Q4_0,4", "--with", "best", "--imatrix", imatrix]
    run = ["--run", str(tmp_path / "run"), "--json"]
    capsys.readouterr()
    assert main([*levels, *run, *words]) == 0
    found = json.loads(capsys.readouterr().out)["levels"]
    (best,) = (row for row in found if row["kind"] == "best")
    assert best["format"] == "best at Q4_0 size"
    file = next(row for row in found if row["format"] == "Q4_0")
    assert 0.9 * file["file_bytes"] < best["file_bytes"] <= file["file_bytes"]
    assert main([*levels, *run, *words]) == 0, "it resumes"
    assert json.loads(capsys.readouterr().out)["levels"] == found
    (searched,) = read_run(tmp_path / "run-search").result_as(SearchResult).points
    assert best["file_bytes"] <= searched.file_bytes <= file["file_bytes"]


def test_best_recipes_need_importance_and_files_to_compare_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = str(write_model(tmp_path / "reference.gguf", format="BF16"))
    for levels, advice in (("Q4_0", "--with best encodes with importance"), ("4", "add presets")):
        assert main(["ladder", model, "--levels", levels, "--with", "best"]) == 2
        assert advice in " ".join(capsys.readouterr().err.split())
