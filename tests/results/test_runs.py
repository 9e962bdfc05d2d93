"""A run folder can be read at any moment and resumed only by its own run."""

from pathlib import Path

import numpy as np
import pytest

from zeropoint.errors import CheckpointError
from zeropoint.results.run_store import RunFolder


def start(path: Path, **settings: object) -> RunFolder:
    return RunFolder.start(path, "measure", {"quant": "abc"}, {"context": 512, **settings})


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    run.save_chunk(0, {"kl": np.arange(3.0)})
    run.save_table("tensors", [{"name": "a"}])
    run.finish({"kl": {"mean": 0.5}})
    again = RunFolder.open(tmp_path / "run")
    np.testing.assert_array_equal(again.load_chunk(0)["kl"], np.arange(3.0))
    assert again.load_table("tensors") == [{"name": "a"}]
    assert again.results == {"kl": {"mean": 0.5}}


def test_a_run_resumes_where_its_steps_end(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    for index in (0, 1, 3):
        run.save_chunk(index, {"kl": np.zeros(1)})
    assert start(tmp_path / "run").chunks_done() == 2


def test_another_run_is_refused_and_says_what_differs(tmp_path: Path) -> None:
    start(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"its settings context differ"):
        start(tmp_path / "run", context=1024)


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="holds no run"):
        start(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 2}', b"\xff", b"[" * 100_000])
def test_a_damaged_head_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    start(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        RunFolder.open(tmp_path / "run")


def test_a_damaged_step_is_one_sentence_at_every_length(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    run.save_chunk(0, {"kl": np.arange(5.0)})
    path = tmp_path / "run" / "chunks" / "00000.npz"
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="delete it to measure it again"):
            run.load_chunk(0)
