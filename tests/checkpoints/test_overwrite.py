"""The Python functions never replace `sources`, and other files unless `overwrite` is false."""

from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint import choose_formats
from zeropoint.calibration import Calibration, InputStatistics, write_imatrix
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint, write_file
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS
from zeropoint.quantizers import WriteOptions, quantize_tensors

TENSORS = [NewTensor("a", (1,), FORMATS["F32"])]
CALIBRATION = Calibration({"a": InputStatistics(np.ones((1, 2), np.float32), np.ones(1))}, 1, 8)


def test_a_checkpoint_that_exists_is_refused_without_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"old")
    with pytest.raises(CheckpointError, match="exists; add --overwrite"):
        create_checkpoint(path, TENSORS, {}, overwrite=False)
    assert path.read_bytes() == b"old"


def test_a_checkpoint_that_another_process_completes_meanwhile_is_not_replaced(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.gguf"
    writer = create_checkpoint(path, TENSORS, {}, overwrite=False)
    path.write_bytes(b"of another process")
    with pytest.raises(CheckpointError, match="exists; add --overwrite"), writer:
        writer.write("a", np.zeros(4, np.uint8))
    assert [one.name for one in tmp_path.iterdir()] == ["m.gguf"]
    assert path.read_bytes() == b"of another process"


@pytest.mark.parametrize("link", [None, "symlink_to", "hardlink_to"])
def test_a_file_is_not_written_over_its_sources(tmp_path: Path, link: str | None) -> None:
    source = tmp_path / "source.gguf"
    source.write_bytes(b"mine")
    target = tmp_path / "link.gguf" if link else source
    if link:
        getattr(target, link)(source)
    with pytest.raises(CheckpointError, match="is the input itself"):
        write_file(target, b"new", sources=[source])
    with pytest.raises(CheckpointError, match="is the input itself"):
        write_imatrix(target, CALIBRATION, sources=[source])
    assert source.read_bytes() == b"mine"


def test_a_file_is_replaced_only_if_the_caller_agrees(tmp_path: Path) -> None:
    path = tmp_path / "x.gguf"
    write_file(path, b"old", may_replace=lambda _path: False)  # nothing is there yet
    with pytest.raises(CheckpointError, match="must not be replaced"):
        write_file(path, b"new", may_replace=lambda found: found.read_bytes() != b"old")
    with pytest.raises(CheckpointError, match="exists; add --overwrite"):
        write_imatrix(path, CALIBRATION, overwrite=False)
    assert [one.name for one in tmp_path.iterdir()] == ["x.gguf"] and path.read_bytes() == b"old"
    write_imatrix(path, CALIBRATION)
    assert path.read_bytes() != b"old"


def test_quantizing_replaces_neither_the_importance_nor_unasked_a_file(tmp_path: Path) -> None:
    model, imatrix = write_model(tmp_path / "m.gguf"), tmp_path / "i.gguf"
    write_imatrix(imatrix, CALIBRATION)
    before = imatrix.read_bytes()
    with open_checkpoint(model) as source:
        choices = choose_formats(source, "BF16")
        for options, said in (
            (WriteOptions(importance_file=imatrix), "is the input itself"),
            (WriteOptions(overwrite=False), "exists; add --overwrite"),
        ):
            with pytest.raises(CheckpointError, match=said):
                list(quantize_tensors(source, choices, imatrix, options=options))
    assert imatrix.read_bytes() == before
