"""`LayerWalk`: second moments collected layer by layer, with one layer in memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from support.families import random_model, write_gguf
from support.tiny_families import FAMILIES
from support.tiny_models import write_model
from zeropoint.calibration.chunks import Chunk
from zeropoint.calibration.layer_walk import LayerWalk
from zeropoint.calibration.moment_sums import TILE_COLUMNS, add_second_moments, complete
from zeropoint.calibration.moments import MomentFolder, input_of
from zeropoint.calibration.run import CalibrationRun
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.models import load_model, read_architecture


@pytest.fixture
def chunks() -> list[Chunk]:
    tokens = np.random.default_rng(0).integers(3, 60, (5, 24)).astype(np.int32)
    return [Chunk("words", row) for row in tokens]


def walk_through(model: Path, folder: Path, chunks: list[Chunk], threads: int = 1) -> LayerWalk:
    source = open_checkpoint(model)
    moments = MomentFolder.start(folder, {}, {})
    return LayerWalk(source, read_architecture(source), chunks, moments, threads=threads)


def moments_of(folder: MomentFolder, names: dict[str, tuple[int, ...]]) -> Iterator[np.ndarray]:
    for name, shape in names.items():
        if input_of(name, names) == name:
            for expert in range(shape[0] if len(shape) == 3 else 1):
                yield np.array(folder.read(name, expert)[0])


@pytest.mark.parametrize(
    ("architecture", "experts"), [("llama", 0), ("llama", 4), ("gemma3", 0), ("qwen2", 0)]
)
def test_the_moments_of_a_walk_are_those_of_whole_passes_bit_for_bit(
    architecture: str, experts: int, chunks: list[Chunk], tmp_path: Path
) -> None:
    model = write_model(tmp_path / "m.gguf", architecture, experts=experts, format="BF16")
    check_moments(model, chunks, tmp_path)


@pytest.mark.parametrize("name", ["gemma4", "gemma4 moe"])
def test_layers_that_share_keys_and_values_or_have_inputs_of_their_own_run_one_at_a_time(
    name: str, chunks: list[Chunk], tmp_path: Path
) -> None:
    family = FAMILIES[name]
    model = write_gguf(tmp_path / "m.gguf", family, random_model(family))
    check_moments(model, chunks, tmp_path)


def check_moments(model: Path, chunks: list[Chunk], tmp_path: Path) -> None:
    whole = MomentFolder.start(tmp_path / "whole", {}, {})
    for _ in CalibrationRun(load_model(model, threads=1), chunks, moments=whole).steps():
        pass
    steps = walk_through(model, tmp_path / "walk", chunks, threads=2).collect_all()
    for _ in range(3 * len(chunks) + 1):
        next(steps, None)
    steps.close()  # and resume in the fourth layer, or after the end
    walk = walk_through(model, tmp_path / "walk", chunks, threads=2)
    for _ in walk.collect_all():
        pass
    matrices = walk.matrices()
    pairs = zip(moments_of(whole, matrices), moments_of(walk.moments, matrices), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)
    assert not list((tmp_path / "walk").glob("states.*"))


@pytest.mark.parametrize("records", [1, 6, 9])
def test_an_interrupted_walk_resumes_to_the_same_moments(
    chunks: list[Chunk], tmp_path: Path, records: int
) -> None:
    model = write_model(tmp_path / "m.gguf", format="BF16")
    whole = walk_through(model, tmp_path / "whole", chunks)
    total = sum(1 for _ in whole.collect_all())
    steps = walk_through(model, tmp_path / "parts", chunks).collect_all()
    for _ in range(records):
        next(steps)
    steps.close()
    again = walk_through(model, tmp_path / "parts", chunks)
    read = sum(1 for _ in again.collect_all())
    assert read == total - records // len(chunks) * len(
        chunks
    )  # finished layers are not read again
    matrices = whole.matrices()
    pairs = zip(
        moments_of(whole.moments, matrices), moments_of(again.moments, matrices), strict=True
    )
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_states_that_were_changed_are_refused(chunks: list[Chunk], tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.gguf", format="BF16")
    steps = walk_through(model, tmp_path / "walk", chunks).collect_all()
    for _ in range(len(chunks) + 1):
        next(steps)
    steps.close()
    states = tmp_path / "walk" / "states.1.f32"
    data = bytearray(states.read_bytes())
    data[0] ^= 1
    states.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"states\.1\.f32"):
        list(walk_through(model, tmp_path / "walk", chunks).collect_all())


def test_a_model_whose_states_overflow_is_an_error(chunks: list[Chunk], tmp_path: Path) -> None:
    huge = {"blk.0.ffn_down.weight": np.full((256, 512), 3e38, np.float32)}
    model = write_model(tmp_path / "m.gguf", format="BF16", changes=huge)
    walk = walk_through(model, tmp_path / "walk", chunks)
    with (
        pytest.raises(MeasurementError, match="after layer 0 are not finite"),
        np.errstate(all="ignore"),
    ):
        list(walk.collect_all())


@pytest.mark.parametrize("columns", [5, TILE_COLUMNS, TILE_COLUMNS + 100])
def test_second_moments_are_the_same_bits_for_every_number_of_threads(columns: int) -> None:
    rows = np.random.default_rng(0).standard_normal((40, columns)).astype(np.float32)
    sums = []
    for threads in (1, 3):
        total = np.zeros((columns, columns), np.float32)
        add_second_moments(total, rows, threads)
        complete(total)
        sums.append(total)
    assert np.array_equal(sums[0], sums[1])
    assert np.array_equal(sums[0], sums[0].T)
    exact = rows.T.astype(np.float64) @ rows.astype(np.float64)
    # 40 products and additions in float32, each with a relative error of at most 2^-24
    bound = 40 * 2.0**-23 * (np.abs(rows).T.astype(np.float64) @ np.abs(rows).astype(np.float64))
    assert (np.abs(sums[0] - exact) <= bound).all()
