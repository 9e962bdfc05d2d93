"""Importance matrices: llama.cpp's bytes, gaps with a rule for each, and nothing believed."""

import runpy
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from zeropoint.calibration import (
    Calibration,
    InputStatistics,
    coverage,
    find_importance,
    merge,
    read_imatrix,
    write_imatrix,
)
from zeropoint.checkpoints import NewTensor, create_checkpoint
from zeropoint.errors import CheckpointError, MeasurementError
from zeropoint.formats import find_format

GOLDEN = Path(__file__).parents[1] / "golden"


def contents() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The inputs of the golden file; its script needs llama.cpp only for `main`."""
    sys.modules.setdefault("llama_cpp", SimpleNamespace(__file__="nowhere"))
    try:
        script = runpy.run_path(str(GOLDEN / "make_imatrix.py"))
    finally:
        if isinstance(sys.modules["llama_cpp"], SimpleNamespace):
            del sys.modules["llama_cpp"]
    found: dict[str, tuple[np.ndarray, np.ndarray]] = script["contents"]()
    return found


def statistics(sums, counts) -> InputStatistics:
    return InputStatistics(np.array(sums, np.float32, ndmin=2), np.array(counts, np.int64, ndmin=1))


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]


def test_llama_cpps_file_is_read() -> None:
    calibration = read_imatrix(GOLDEN / "imatrix.gguf")
    assert (calibration.chunks, calibration.chunk_tokens, calibration.tokens) == (2, 512, 1024)
    assert calibration.datasets == ("first.txt", "zwei.txt")
    assert calibration.corpus == ""
    assert set(calibration.statistics) == set(contents())
    for name, (sums, counts) in contents().items():
        entry = calibration.statistics[name]
        np.testing.assert_array_equal(entry.sums, sums.astype(np.float32))
        np.testing.assert_array_equal(entry.counts, counts)


def test_what_is_written_is_llama_cpps_file_byte_for_byte(tmp_path) -> None:
    calibration = read_imatrix(GOLDEN / "imatrix.gguf")
    write_imatrix(tmp_path / "again.gguf", calibration)
    again = (tmp_path / "again.gguf").read_bytes()
    assert again == (GOLDEN / "imatrix.gguf").read_bytes()
    entries = {name: statistics(*parts) for name, parts in reversed(contents().items())}
    made = Calibration(entries, 2, 512, ("first.txt", "zwei.txt"))
    write_imatrix(tmp_path / "made.gguf", made)  # entries are sorted
    assert (tmp_path / "made.gguf").read_bytes() == again


def test_a_corpus_is_kept_and_no_dataset_is_no_obstacle(tmp_path) -> None:
    path = tmp_path / "x.gguf"
    write_imatrix(path, Calibration({"a": statistics([1, 2], 3)}, 1, 8, corpus="abc"))
    again = read_imatrix(path)
    assert (again.corpus, again.datasets, again.tokens) == ("abc", (), 8)


def test_importance_is_the_mean_as_llama_cpp_takes_it() -> None:
    """float32 sum / float32 count; 1.0 for an expert that was never asked."""
    importance = read_imatrix(GOLDEN / "imatrix.gguf").importance
    sums, _ = contents()["blk.10.ffn_up_exps.weight"]
    expected = sums.astype(np.float32) / np.array([[700], [1], [324]], np.float32)
    expected[1] = 1
    np.testing.assert_array_equal(importance["blk.10.ffn_up_exps.weight"], expected)
    assert importance["blk.0.attn_q.weight"].shape == (5,)
    assert importance["blk.0.attn_q.weight"].dtype == np.float32
    assert "nothing" not in importance and len(importance) == 4


def test_columns_that_were_zero_stay_zero_and_all_of_them_become_ones() -> None:
    np.testing.assert_array_equal(statistics([0, 4], 2).mean, [0, 2])
    np.testing.assert_array_equal(statistics([0, 0], 2).mean, [1, 1])
    np.testing.assert_array_equal(statistics([[0, 0], [0, 4]], [5, 2]).mean, [[1, 1], [0, 2]])


def test_a_dense_tensor_of_three_axes_has_one_count() -> None:
    calibration = Calibration({"b": statistics([2, 4, 0, 0, 8, 10], 2)}, 1, 2)
    tensor = Tensor("b", (3, 7, 2))
    np.testing.assert_array_equal(find_importance(calibration, tensor), [[1, 2], [1, 1], [4, 5]])


def test_a_tied_embedding_takes_the_outputs_entry() -> None:
    calibration = Calibration({"output.weight": statistics([2, 4], 2)}, 1, 2)
    embedding = Tensor("token_embd.weight", (9, 2))
    assert find_importance(calibration, embedding) is None
    np.testing.assert_array_equal(find_importance(calibration, embedding, tied=True), [1, 2])
    own = Calibration({**calibration.statistics, "token_embd.weight": statistics([6, 6], 2)}, 1, 2)
    np.testing.assert_array_equal(find_importance(own, embedding, tied=True), [3, 3])


@pytest.mark.parametrize("shape", [(4, 3), (2, 4, 2), (3, 4, 2), (2,)])
def test_an_entry_of_another_size_is_refused(shape) -> None:
    calibration = Calibration({"x": statistics([[1, 2, 3], [4, 5, 6]], [1, 1])}, 1, 2)
    with pytest.raises(
        MeasurementError, match="'x' has 6 values in 2 matrices and the tensor of shape"
    ):
        find_importance(calibration, Tensor("x", shape))


def test_coverage_counts_every_gap() -> None:
    calibration = Calibration(
        {
            "full": statistics([1, 0, 2], 500),
            "thin": statistics([1, 1, 1], 127),
            "partial": statistics([[1, 0], [0, 0], [2, 3], [0, 0]], [128, 0, 9, 4]),
            "empty": statistics([0, 0, 0], 10),
            "foreign": statistics([1], 1),
        },
        1,
        512,
    )
    tensors = [
        Tensor("full", (2, 3)), Tensor("thin", (2, 3)), Tensor("partial", (4, 5, 2)),
        Tensor("empty", (2, 3)), Tensor("absent", (2, 3)), Tensor("token_embd.weight", (9, 3)),
    ]  # fmt: skip
    report = coverage(calibration, tensors)
    assert {t.name: t.state for t in report.tensors} == {
        "full": "full", "thin": "thin", "partial": "partial", "empty": "empty",
        "absent": "missing",
    }  # fmt: skip
    partial = report.tensors[2]
    assert (partial.matrices, partial.without, partial.few) == (4, 2, 1)
    assert (partial.row_range, partial.dead_columns) == ((9, 128), 1)
    assert report.unknown == ("foreign",)
    assert report.count("missing") == 1 and len(report.gaps) == 4


def test_merging_adds_sums_and_counts() -> None:
    first = Calibration(
        {"a": statistics([1, 2], 4), "e": statistics([1, 2, 3, 4], 5)}, 2, 512, ("one",), "x"
    )
    second = Calibration(
        {"a": statistics([3, 5], 1), "e": statistics([[1, 1], [1, 1]], [2, 0]),
         "b": statistics([7], 1)}, 4, 256, ("two",), "y",
    )  # fmt: skip
    both = merge([first, second])
    np.testing.assert_array_equal(both.statistics["a"].sums, [[4, 7]])
    np.testing.assert_array_equal(both.statistics["a"].counts, [5])
    np.testing.assert_array_equal(both.statistics["e"].sums, [[2, 3], [4, 5]])
    np.testing.assert_array_equal(both.statistics["e"].counts, [7, 5])
    assert set(both.statistics) == {"a", "b", "e"}
    assert (both.tokens, both.chunks, both.datasets) == (2048, 4, ("one", "two"))
    assert both.corpus not in ("", "x", "y")
    assert merge([first]).corpus == "x"
    other = Calibration({"a": statistics([1, 2, 3], 4)}, 1, 512)
    with pytest.raises(MeasurementError, match="'a' has 2 columns in one calibration and 3"):
        merge([first, other])
    with pytest.raises(MeasurementError, match="different numbers of experts"):
        merge([Calibration({"a": statistics(np.ones((2, 3)), [1, 1])}, 1, 1),
               Calibration({"a": statistics(np.ones((3, 2)), [1, 1, 1])}, 1, 1)])  # fmt: skip
    with pytest.raises(MeasurementError, match="there is no calibration"):
        merge([])


def legacy(entries, tail: bytes = b"") -> bytes:
    data = struct.pack("<i", len(entries))
    for name, calls, values in entries:
        data += struct.pack("<i", len(name)) + name + struct.pack("<ii", calls, len(values))
        data += np.array(values, "<f4").tobytes()
    return data + tail


def test_the_older_form_is_read(tmp_path) -> None:
    """As llama.cpp: mean · calls, divided by calls; without calls, as they are."""
    path = tmp_path / "old.dat"
    tail = struct.pack("<ii", 7, 5) + b"a.txt"
    path.write_bytes(legacy([(b"x", 3, [0.3, 1e30]), (b"y", 0, [0.25]), (b"z", 1, [0])], tail))
    calibration = read_imatrix(path)
    expected = np.array([0.3, 1e30], np.float32) / np.float32(3)
    np.testing.assert_array_equal(calibration.importance["x"], expected)
    np.testing.assert_array_equal(calibration.importance["y"], [0.25])
    np.testing.assert_array_equal(calibration.importance["z"], [1])
    assert (calibration.chunks, calibration.tokens) == (7, 3584)
    assert calibration.datasets == ("a.txt",)
    path.write_bytes(legacy([(b"x", 3, [0.3])]))
    assert read_imatrix(path).datasets == ()
    np.testing.assert_array_equal(
        find_importance(
            Calibration({"e": statistics([1, 2, 3, 4], 1)}, 1, 1), Tensor("e", (2, 9, 2))
        ),
        [[1, 2], [3, 4]],
    )


GOOD = [(b"abc", 2, [1.0, 2.0])]
LEGACY_FAULTS = {
    "nothing at all": (b"", "4 bytes are needed and 0 are left"),
    "no entries": (struct.pack("<i", 0), "0 is not from 1 to"),
    "a negative number of entries": (struct.pack("<i", -1), "-1 is not from 1 to"),
    "more entries than bytes": (struct.pack("<i", 5) + legacy(GOOD)[4:], "are needed and 0"),
    "a negative length": (struct.pack("<ii", 1, -1), "-1 is not from 0 to 4096"),
    "a length past the end": (struct.pack("<ii", 1, 4000) + b"abc", "4000 bytes are needed and 3"),
    "a name that is no text": (legacy([(b"\xff\xfe", 1, [1])]), "is not UTF-8"),
    "a name without letters": (legacy([(b"", 1, [1])]), "is empty or a duplicate"),
    "a name twice": (legacy(GOOD * 2), "'abc' is empty or a duplicate"),
    "negative calls": (legacy([(b"a", -3, [1])]), "-3 is not from 0"),
    "no values": (legacy([(b"a", 3, [])]), "0 is not from 1"),
    "values past the end": (legacy(GOOD)[:-1], "8 bytes are needed and 7 are left"),
    "2^31 values": (struct.pack("<ii", 1, 1) + b"a" + struct.pack("<ii", 1, 2**31 - 1),
                    "8589934588 bytes are needed and 0 are left"),
    "a NaN": (legacy([(b"a", 1, [1, np.nan])]), "tensor 'a'.*sum 1 is nan"),
    "an infinity": (legacy([(b"a", 1, [np.inf])]), "tensor 'a'.*sum 0 is inf"),
    "a negative value": (legacy([(b"a", 1, [-1])]), "sum 0 is -512.0; it must be finite and ≥ 0"),
    "a negative number of chunks": (legacy(GOOD, struct.pack("<i", -1)), "-1 is not from 0"),
    "a cut text's name": (legacy(GOOD, struct.pack("<ii", 1, 9) + b"a"), "9 bytes are needed"),
    "bytes behind the end": (legacy(GOOD, struct.pack("<ii", 1, 1) + b"ab"), "1 bytes follow"),
}  # fmt: skip


@pytest.mark.parametrize("fault", LEGACY_FAULTS)
def test_an_older_file_that_is_wrong_is_refused(fault, tmp_path) -> None:
    data, message = LEGACY_FAULTS[fault]
    path = tmp_path / "bad.dat"
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_imatrix(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


KEYS = {
    "general.type": "imatrix",
    "imatrix.datasets": ["a"],
    "imatrix.chunk_count": np.uint32(1),
    "imatrix.chunk_size": np.uint32(512),
}
F32 = np.float32
GGUF_FAULTS = {
    "counts missing": ({}, {"x.in_sum2": F32([1, 2])}, r"'x'.*has \.in_sum2 but no \.counts"),
    "sums missing": (
        {}, {"x.counts": F32([1])}, r"'x'.*has \.counts but no \.in_sum2|has no tensor"),
    "no entries": ({}, {"x": F32([1])}, r"has no tensor that ends with \.in_sum2"),
    "zero counts": (
        {}, {"x.in_sum2": F32([1]), "x.counts": F32([])}, "has 1 sums for 0 counts"),
    "no sums": ({}, {"x.in_sum2": F32([]), "x.counts": F32([1])}, "has 0 sums for 1 counts"),
    "sums that do not divide": (
        {}, {"x.in_sum2": F32([1, 2, 3]), "x.counts": F32([1, 1])}, "has 3 sums for 2 counts"),
    "a NaN": ({}, {"x.in_sum2": F32([1, np.nan]), "x.counts": F32([1])}, "sum 1 is nan"),
    "an infinity": ({}, {"x.in_sum2": F32([np.inf]), "x.counts": F32([1])}, "sum 0 is inf"),
    "a negative sum": ({}, {"x.in_sum2": F32([-1]), "x.counts": F32([1])}, "sum 0 is -1.0"),
    "a negative count": ({}, {"x.in_sum2": F32([1]), "x.counts": F32([-1])}, "count 0 is -1.0"),
    "half a count": ({}, {"x.in_sum2": F32([1]), "x.counts": F32([1.5])}, "count 0 is 1.5"),
    "a count that is NaN": (
        {}, {"x.in_sum2": F32([1]), "x.counts": F32([np.nan])}, "count 0 is nan"),
    "a huge count": ({}, {"x.in_sum2": F32([1]), "x.counts": F32([3e38])}, "count 0 is 3"),
    "sums in F16": ({}, {"x.in_sum2": np.float16([1]), "x.counts": F32([1])}, "is F16; sums"),
    "another kind of file": (
        {"general.type": "adapter"}, {"x.in_sum2": F32([1]), "x.counts": F32([1])},
        "is 'adapter', not an importance matrix"),
    "a model": (
        {"general.type": None, "imatrix.datasets": None}, {"token_embd.weight": F32([1])},
        "this is a model, not an importance matrix"),
    "no datasets": (
        {"imatrix.datasets": None}, {"x.in_sum2": F32([1]), "x.counts": F32([1])},
        "imatrix.datasets: is missing"),
    "datasets that are numbers": (
        {"imatrix.datasets": [1]}, {"x.in_sum2": F32([1]), "x.counts": F32([1])},
        "imatrix.datasets: is missing or not a list of names"),
    "no chunk count": (
        {"imatrix.chunk_count": None}, {"x.in_sum2": F32([1]), "x.counts": F32([1])},
        "imatrix.chunk_count: is missing or not a u32"),
    "a chunk size in letters": (
        {"imatrix.chunk_size": "512"}, {"x.in_sum2": F32([1]), "x.counts": F32([1])},
        "imatrix.chunk_size: is missing or not a u32"),
    "a chunk size below zero": (
        {"imatrix.chunk_size": -1}, {"x.in_sum2": F32([1]), "x.counts": F32([1])},
        "imatrix.chunk_size: is missing or not a u32"),
}  # fmt: skip


@pytest.mark.parametrize("fault", GGUF_FAULTS)
def test_a_file_that_is_wrong_is_refused(fault, tmp_path) -> None:
    """One line with file, tensor or key, and the rule."""
    keys, arrays, message = GGUF_FAULTS[fault]
    metadata = {key: value for key, value in (KEYS | keys).items() if value is not None}
    tensors = [
        NewTensor(name, array.shape, find_format({"float32": "F32"}.get(str(array.dtype), "F16")))
        for name, array in arrays.items()
    ]
    path = tmp_path / "bad.gguf"
    with create_checkpoint(path, tensors, metadata) as writer:
        for name, array in arrays.items():
            if array.size:
                writer.write(name, np.ascontiguousarray(array).view(np.uint8))
            else:
                writer.write(name, np.empty(0, np.uint8))
    with pytest.raises(CheckpointError, match=message) as caught:
        read_imatrix(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_a_golden_file_cut_anywhere_is_refused(tmp_path) -> None:
    data = (GOLDEN / "imatrix.gguf").read_bytes()
    path = tmp_path / "cut.gguf"
    for length in range(len(data) - 28):  # the last count of 4 bytes is padded to 32
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_imatrix(path)


def test_any_flipped_bit_is_refused_or_gives_finite_importance(tmp_path) -> None:
    """Every seventh bit of the file."""
    data = (GOLDEN / "imatrix.gguf").read_bytes()
    path = tmp_path / "flipped.gguf"
    for bit in range(0, 8 * len(data), 7):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found = read_imatrix(path).importance
        except CheckpointError:
            continue
        for values in found.values():
            assert np.isfinite(values).all() and (values >= 0).all() and values.any()


def test_memory_does_not_grow_with_the_file(tmp_path) -> None:
    """Entries are read when asked for: the mapping holds no arrays."""
    path = tmp_path / "x.gguf"
    write_imatrix(path, Calibration({"a": statistics([1, 2], 3)}, 1, 8))
    calibration = read_imatrix(path)
    assert calibration.statistics["a"] is not calibration.statistics["a"]


@pytest.mark.peer
def test_the_golden_file_is_what_ggml_writes_today(tmp_path) -> None:
    import subprocess

    pytest.importorskip("llama_cpp")
    path = tmp_path / "again.gguf"
    subprocess.run([sys.executable, str(GOLDEN / "make_imatrix.py"), str(path)], check=True)
    assert path.read_bytes() == (GOLDEN / "imatrix.gguf").read_bytes()
