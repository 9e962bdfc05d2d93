"""A model file in, another one out: what is in it, what it says, what is refused."""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint import kernels
from zeropoint.calibration import Calibration, InputStatistics, write_imatrix
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint, plan_files
from zeropoint.checkpoints.tensor_digest import tensors_sha256
from zeropoint.errors import CheckpointError, FormatError
from zeropoint.formats import FORMATS
from zeropoint.plans import Choice, choose_formats, predict_size
from zeropoint.quantizers import (
    OutputWritten,
    TensorWritten,
    WriteOptions,
    dequantize,
    output_metadata,
    quantize,
    quantize_tensors,
    write_quantized,
)
from zeropoint.quantizers import slabs as slabs_module
from zeropoint.quantizers.details import Histogram
from zeropoint.quantizers.proof import unmeasured_fields

WRITABLE = [name for name in ("BF16", "Q8_0", "Q4_K", "IQ4_NL") if kernels.has_encoder(name)]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_model(tmp_path / "tiny.gguf")


def run(
    source: Path, output: Path, to: str, threads: int = 1, **options: object
) -> list[TensorWritten]:
    with open_checkpoint(source) as checkpoint:
        choices = choose_formats(checkpoint, to)
        chosen = WriteOptions(to=to, **options)
        return list(quantize_tensors(checkpoint, choices, output, threads=threads, options=chosen))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("to", WRITABLE)
def test_every_tensor_is_what_quantizing_it_alone_gives(
    tiny: Path, tmp_path: Path, to: str
) -> None:
    records = run(tiny, tmp_path / "out.gguf", to)
    with open_checkpoint(tiny) as source, open_checkpoint(tmp_path / "out.gguf") as output:
        assert [record.name for record in records] == list(source.tensors) == list(output.tensors)
        for record in records:
            before, after = source.read(record.name), output.read(record.name)
            assert after.format.name == record.format
            assert record.nbytes == after.nbytes
            if not record.encoded:
                np.testing.assert_array_equal(before.data, after.data)
                continue
            weights = dequantize(before, threads=1)
            alone = quantize(weights, after.format, threads=1)
            np.testing.assert_array_equal(alone.data, after.data)
            error = kernels.weighted_error(weights, dequantize(after, threads=1))
            # one slab: the same sum of rows in the same order
            assert record.error == error
            assert record.power == kernels.weighted_error(weights, None)


@pytest.mark.parametrize("to", WRITABLE)
def test_slabs_threads_and_instruction_sets_change_no_byte(
    tiny: Path, tmp_path: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny, tmp_path / "whole.gguf", to)
    expected = sha256(tmp_path / "whole.gguf")
    monkeypatch.setattr(slabs_module, "SLAB_WEIGHTS", 3000)
    run(tiny, tmp_path / "slabs.gguf", to)
    assert sha256(tmp_path / "slabs.gguf") == expected
    for threads in (2, 3):
        run(tiny, tmp_path / f"{threads}.gguf", to, threads)
        assert sha256(tmp_path / f"{threads}.gguf") == expected, threads
    for threads in (2, 1):
        out = tmp_path / f"{threads} baseline.gguf"
        words = [sys.executable, "-m", "zeropoint", "quantize", tiny, out, "--to", to]
        environment = {**os.environ, "ZEROPOINT_CPU": "baseline"}
        subprocess.run([*words, "--threads", str(threads), "-q"], check=True, env=environment)
        assert sha256(out) == expected, threads


def test_the_output_says_where_it_comes_from_and_nothing_else(tiny: Path, tmp_path: Path) -> None:
    run(tiny, tmp_path / "out.gguf", "BF16")
    with open_checkpoint(tiny) as source, open_checkpoint(tmp_path / "out.gguf") as output:
        added = {k: v for k, v in output.metadata.items() if k not in source.metadata}
        assert added == {
            "general.quantization_version": 2,
            "zeropoint.version": added["zeropoint.version"],
            "zeropoint.recipe": "*  BF16",
            "zeropoint.source.file": "tiny.gguf",
            "zeropoint.source.sha256": sha256(tiny),
            "zeropoint.rounding": "nearest",
            "zeropoint.tensors.sha256": tensors_sha256(output),
            **unmeasured_fields(),
        }
        changed = {k for k, v in source.metadata.items() if repr(output.metadata[k]) != repr(v)}
        assert changed == {"general.file_type"}
        assert output.metadata["general.file_type"] == 32
    data = (tmp_path / "out.gguf").read_bytes()
    assert str(tmp_path).encode() not in data
    assert not re.search(rb"20[2-9]\d-\d\d-\d\d", data)


def test_a_recipe_in_the_file_gives_the_same_file_again(tiny: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mixed.recipe"
    recipe.write_text("blk.1.*  F32\n*.attn_v.weight  BF16\n*  keep\n")
    run(tiny, tmp_path / "first.gguf", str(recipe))
    with open_checkpoint(tmp_path / "first.gguf") as first:
        again = tmp_path / "again.recipe"
        again.write_text(str(first.metadata["zeropoint.recipe"]))
        formats = {name: info.format.name for name, info in first.tensors.items()}
    run(tiny, tmp_path / "second.gguf", str(again))
    assert sha256(tmp_path / "first.gguf") == sha256(tmp_path / "second.gguf")
    assert formats["blk.1.ffn_up.weight"] == "F32"
    assert formats["blk.0.attn_v.weight"] == "BF16"
    assert formats["output.weight"] == "F16"


def test_the_size_is_known_before(tiny: Path, tmp_path: Path) -> None:
    options = WriteOptions(to="BF16")
    with open_checkpoint(tiny) as source:
        choices = choose_formats(source, "BF16")
        predicted = predict_size(choices, output_metadata(source, choices, None, options))
        *_, last = write_quantized(source, choices, tmp_path / "out.gguf", options=options)
    assert isinstance(last, OutputWritten)
    assert predicted == last.file_bytes == (tmp_path / "out.gguf").stat().st_size


def test_a_split_output_is_read_as_one(tiny: Path, tmp_path: Path) -> None:
    run(tiny, tmp_path / "whole.gguf", "BF16")
    run(tiny, tmp_path / "split.gguf", "BF16", max_shard_bytes=900_000)
    shards = sorted(tmp_path.glob("split-*.gguf"))
    assert len(shards) > 2
    assert all(shard.stat().st_size <= 900_000 for shard in shards)
    with open_checkpoint(tmp_path / "whole.gguf") as whole, open_checkpoint(shards[1]) as split:
        assert list(split.tensors) == list(whole.tensors)
        for name in whole.tensors:
            np.testing.assert_array_equal(split.read(name).data, whole.read(name).data)
        assert split.metadata["zeropoint.source.sha256"] == sha256(tiny)
    run(shards[0], tmp_path / "back.gguf", "F32")
    with open_checkpoint(tmp_path / "back.gguf") as back:
        assert list(back.metadata["zeropoint.source.sha256"]) == [sha256(s) for s in shards]


@pytest.mark.parametrize("format", ["F32", "F16"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    ("name", "shape"), [("blk.1.ffn_up.weight", (512, 256)), ("blk.0.attn_norm.weight", (256,))]
)
def test_a_weight_that_is_not_finite_is_named_and_nothing_is_written(
    tmp_path: Path, format: str, value: float, name: str, shape: tuple[int, ...]
) -> None:
    """Also in a tensor that would only be copied: such a model is broken."""
    weights = np.zeros(shape, np.float32)
    weights.flat[200] = value
    broken = write_model(tmp_path / "broken.gguf", format=format, changes={name: weights})
    output = tmp_path / "out.gguf"
    output.write_bytes(b"precious")
    with pytest.raises(FormatError, match=rf"{re.escape(name)}: weight 200 \(row 0, column 200\)"):
        run(broken, output, "BF16")
    assert output.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.gguf", "out.gguf"]


def test_a_weight_is_named_by_its_place_in_the_tensor_not_in_the_slab(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = np.zeros((2, 512, 256), np.float32)
    weights[1, 300, 7] = np.inf
    name = "blk.0.ffn_up_exps.weight"
    broken = write_model(tmp_path / "broken.gguf", experts=2, changes={name: weights})
    monkeypatch.setattr(slabs_module, "SLAB_WEIGHTS", 10_000)
    with pytest.raises(FormatError, match=r"row 812, column 7"):
        run(broken, tmp_path / "out.gguf", "BF16")


def test_a_quantized_source_needs_the_word(tmp_path: Path) -> None:
    random = np.random.default_rng(0).integers(0, 256, (16, 34), dtype=np.uint8)
    random[:, 1] = 0x2C  # scales that are finite
    layout = [NewTensor("blk.0.attn_q.weight", (16, 32), FORMATS["Q8_0"])]
    with create_checkpoint(tmp_path / "quant.gguf", layout, {"general.architecture": "llama"}) as w:
        w.write("blk.0.attn_q.weight", random)
    with pytest.raises(FormatError, match=r"attn_q.weight is already quantized \(Q8_0\)"):
        run(tmp_path / "quant.gguf", tmp_path / "out.gguf", "F32")
    (record,) = run(tmp_path / "quant.gguf", tmp_path / "out.gguf", "F32", requantize=True)
    assert record.error == 0  # float32 holds whatever Q8_0 means


def test_a_format_without_a_place_in_a_file_is_refused_with_those_that_have_one(tiny: Path) -> None:
    with pytest.raises(FormatError, match=r"INT4_SYM_G32 has no type in GGUF.*BF16"):
        run(tiny, tiny.with_name("out.gguf"), "INT4_SYM_G32")
    assert not tiny.with_name("out.gguf").exists()


@pytest.mark.parametrize("link", ["same", "symlink", "hardlink"])
def test_the_input_is_never_the_output(tiny: Path, tmp_path: Path, link: str) -> None:
    before = sha256(tiny)
    output = tiny
    if link != "same":
        output = tmp_path / "link.gguf"
        (output.symlink_to if link == "symlink" else output.hardlink_to)(tiny)
    with pytest.raises(CheckpointError, match="is the input itself"):
        run(tiny, output, "BF16")
    assert sha256(tiny) == before


def test_a_generator_that_is_dropped_leaves_the_old_file(tiny: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.gguf"
    output.write_bytes(b"old")
    with open_checkpoint(tiny) as source:
        records = quantize_tensors(source, choose_formats(source, "BF16"), output)
        next(records)
        records.close()
    assert output.read_bytes() == b"old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.gguf", "tiny.gguf"]


def test_a_tensor_that_does_not_exist_cannot_be_chosen(tiny: Path, tmp_path: Path) -> None:
    with open_checkpoint(tiny) as source:
        choice, *_ = choose_formats(source, "BF16")
        ghost = Choice(**{**vars(choice), "name": "ghost"})
        with pytest.raises(FormatError, match="no tensor ghost"):
            list(quantize_tensors(source, [ghost], tmp_path / "out.gguf"))


def test_importance_counts_in_the_error_and_in_the_metadata(tmp_path: Path) -> None:
    tiny = write_model(tmp_path / "tiny.gguf", experts=2)
    random = np.random.default_rng(1)
    sums = {
        "blk.0.attn_q.weight": random.random((1, 256)).astype(np.float32),
        "blk.0.ffn_up_exps.weight": random.random((2, 256)).astype(np.float32),
    }
    statistics = {
        name: InputStatistics(values, np.full(len(values), 4, np.int64))
        for name, values in sums.items()
    }
    secret = "/data/alice/wiki.txt"
    calibration = Calibration(statistics, 3, 512, datasets=(secret,))
    file = tmp_path / "tiny.imatrix.gguf"
    write_imatrix(file, calibration)
    options = WriteOptions(to="BF16", importance_file=file)
    with open_checkpoint(tiny) as source:
        choices = choose_formats(source, "BF16", imatrix=True)
        records = {
            record.name: record
            for record in quantize_tensors(
                source, choices, tmp_path / "out.gguf", calibration=calibration, options=options
            )
        }
        for name, values in sums.items():
            weights = dequantize(source.read(name)).reshape(len(values), -1, 256)
            costs = (values / np.float32(4)).astype(np.float64)[:, None]
            power = float((costs * weights.astype(np.float64) ** 2).sum())
            assert abs(records[name].power - power) <= power * weights.size * 2.0**-52
            assert records[name].weighted
        assert not records["blk.0.attn_k.weight"].weighted
    with open_checkpoint(tmp_path / "out.gguf") as output:
        told = {k: v for k, v in output.metadata.items() if "imatrix" in k}
    assert told == {
        "quantize.imatrix.file": "tiny.imatrix.gguf",
        "quantize.imatrix.dataset": "wiki.txt",
        "quantize.imatrix.entries_count": 2,
        "quantize.imatrix.chunks_count": 3,
        "zeropoint.imatrix.sha256": sha256(file),
    }
    assert b"alice" not in (tmp_path / "out.gguf").read_bytes()


def test_an_imatrix_of_another_model_is_refused(tiny: Path, tmp_path: Path) -> None:
    name = "blk.0.attn_q.weight"
    wrong = InputStatistics(np.ones((1, 128), np.float32), np.ones(1, np.int64))
    calibration = Calibration({name: wrong}, 1, 512)
    with open_checkpoint(tiny) as source, pytest.raises(Exception, match="another model"):
        choices = choose_formats(source, "BF16", imatrix=True)
        list(quantize_tensors(source, choices, tmp_path / "o.gguf", calibration=calibration))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_histogram_of_the_evidence_refuses_what_is_not_finite(value: float) -> None:
    histogram = Histogram()
    with pytest.raises(ValueError, match="not finite"):
        histogram.add(np.float32([0.5, value, 0.25]))
    assert not histogram.counts.any()


def test_a_histogram_does_not_depend_on_the_pieces() -> None:
    values = (np.random.default_rng(2).standard_normal(50_000) ** 3).astype(np.float32)
    whole, pieces = Histogram(), Histogram()
    whole.add(values)
    for part in np.array_split(values, 17):
        pieces.add(part)
    assert whole.limit == pieces.limit == 2.0 ** np.ceil(np.log2(np.abs(values).max()))
    np.testing.assert_array_equal(whole.counts, pieces.counts)
    assert whole.counts.sum() == values.size


def test_details_hold_histograms_and_the_worst_block(tiny: Path, tmp_path: Path) -> None:
    records = run(tiny, tmp_path / "out.gguf", "BF16", details=True)
    with open_checkpoint(tiny) as source:
        for record in records:
            if not record.encoded:
                assert record.details is None
                continue
            assert record.details is not None
            weights = dequantize(source.read(record.name))
            assert record.details.weights.counts.sum() == weights.size
            assert record.details.errors.counts.sum() == weights.size
            worst = record.details.worst
            assert worst is not None
            assert worst.weights[0] == weights[worst.row, worst.column]
            rounded = (weights.view(np.uint32) + 0x7FFF + (weights.view(np.uint32) >> 16 & 1)) >> 16
            back = (rounded << 16).astype(np.uint32).view(np.float32)
            assert worst.error == ((weights - back).astype(np.float64) ** 2).max()
            assert worst.decoded[0] == back[worst.row, worst.column]


MEMORY = """
import sys
from zeropoint.checkpoints import open_checkpoint
from zeropoint.kernels.machine import peak_memory_bytes
from zeropoint.plans import choose_formats
from zeropoint.quantizers import quantize_tensors
before = peak_memory_bytes()
with open_checkpoint(sys.argv[1]) as source:
    for _ in quantize_tensors(source, choose_formats(source, "BF16"), sys.argv[2], threads=2):
        pass
print(peak_memory_bytes() - before)
"""


def test_memory_does_not_grow_with_the_tensor(tmp_path: Path) -> None:
    """64 M weights in a sparse file: decoded at once they would be 256 MiB."""
    layout = [NewTensor("blk.0.ffn_up.weight", (2**14, 4096), FORMATS["F16"])]
    large = tmp_path / "large.gguf"
    (planned,) = plan_files(large, layout, {"general.architecture": "llama"}).files
    large.write_bytes(planned.header)
    os.truncate(large, planned.size)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, large, tmp_path / "out.gguf"],
        capture_output=True,
        text=True,
        check=True,
    )
    # Per slab: raw, decoded, encoded, decoded again, and the next one raw: 2 + 4 + 2 + 4 + 2 bytes
    # a weight; twice that for what the allocator keeps.
    assert int(done.stdout) < 2 * 14 * slabs_module.SLAB_WEIGHTS
