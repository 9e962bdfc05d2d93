"""Predicted losses are the quadratic form that they claim to be, and close to the true loss."""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.allocation.predicted_loss import (
    PredictedLosses,
    PredictionText,
    SequencesRead,
    TensorPredicted,
    choose_sequences,
    predict_losses,
)
from zeropoint.allocation.sampled_errors import MIN_ROWS, sample_rows, sampled_errors
from zeropoint.calibration import find_importance
from zeropoint.calibration.corpus import Corpus
from zeropoint.calibration.run import CalibrationRun
from zeropoint.checkpoints import Checkpoint, TensorInfo, open_checkpoint
from zeropoint.errors import FormatError, UnsupportedModel
from zeropoint.formats import FORMATS, QuantizedTensor
from zeropoint.models import load_model
from zeropoint.models.gradients import GradientPass
from zeropoint.quantizers.nearest import dequantize, quantize

WORDS = "the other and a thing in an error that the others find "
CORPUS = Corpus({"one": WORDS * 40, "two": WORDS.upper() * 40})


def predicted(
    checkpoint: Checkpoint, text: PredictionText, menu: dict[str, list[str]], threads: int = 1
) -> PredictedLosses:
    *steps, last = predict_losses(checkpoint, text, menu, threads=threads)
    assert isinstance(last, PredictedLosses)
    reads = [step for step in steps if isinstance(step, SequencesRead)]
    tensors = [step for step in steps if isinstance(step, TensorPredicted)]
    assert reads[-1].done == reads[-1].total and tensors[-1].done == tensors[-1].total
    return last


class Sums:
    """∂L_s/∂W of every tensor, by sequence."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.tensors = checkpoint.tensors
        self.found: dict[str, dict[int, np.ndarray]] = defaultdict(dict)

    def add_products(
        self, name: str, expert: int | None, inputs: np.ndarray, gradients: np.ndarray,
        sequences: np.ndarray,
    ) -> None:  # fmt: skip
        for sequence in set(sequences.tolist()):
            part = self.of(name, sequence)
            rows = sequences == sequence
            (part if expert is None else part[expert])[...] += gradients[rows].T @ inputs[rows]

    def add_lookups(
        self, name: str, tokens: np.ndarray, gradients: np.ndarray, sequences: np.ndarray
    ) -> None:
        for token, row, sequence in zip(tokens, gradients, sequences.tolist(), strict=True):
            self.of(name, sequence)[token] += row

    def of(self, name: str, sequence: int) -> np.ndarray:
        return self.found[name].setdefault(sequence, np.zeros(self.tensors[name].shape))


@pytest.mark.parametrize(
    ("family", "experts"),
    [("llama", 0), ("gemma3", 0), ("llama", 4)],
    ids=["untied", "tied", "moe"],
)
def test_a_prediction_is_the_quadratic_form_of_whole_gradients(
    family: str, experts: int, tmp_path: Path
) -> None:
    """All rows of these small tensors are sampled, so nothing is estimated."""
    text = PredictionText(CORPUS, tokens=64, sequence_tokens=16, seed=5)
    with open_checkpoint(write_model(tmp_path / "m.gguf", family, experts=experts)) as checkpoint:
        menu = {
            name: ["Q4_0", "Q2_K"] for name, info in checkpoint.tensors.items()
            if len(info.shape) > 1 and "gate_inp" not in name
        }  # fmt: skip
        found = predicted(checkpoint, text, menu)
        tokens = np.stack([c.tokens for c in choose_sequences(checkpoint, text)])
        sums = Sums(checkpoint)
        GradientPass(checkpoint, threads=1).run(tokens.astype(np.int64), sums, seed=5)
        for name, formats in menu.items():
            info = checkpoint.tensors[name]
            importance = find_importance(found.calibration, info, tied=checkpoint.tied_output)
            weights = dequantize(checkpoint.read(name))
            for format in formats:
                errors = dequantize(quantize(weights, format, importance, threads=1)) - weights
                changes = [(part * errors).sum(axis=-1) for part in sums.found[name].values()]
                expected = 0.5 * np.sum(np.square(changes)) / tokens.size
                # float32 products of at most 512 terms, with errors of opposite signs: 2⁻²⁴ · 512,
                # twice for a square, and as much again for the other order of the batch
                assert found.table[name][format] == pytest.approx(expected, rel=1e-3), name
                assert 0 < found.standard_errors[name][format] < 3 * expected
    assert found.tokens == 64


def test_a_prediction_agrees_with_the_true_divergence(tmp_path: Path) -> None:
    """The true KL on the same text, averaged over random signs of the errors of each row.

    The mean over the signs removes the products of different rows, which a prediction leaves out.
    """
    name, draws = "blk.0.ffn_down.weight", 8
    with open_checkpoint(write_model(tmp_path / "m.gguf", format="F32")) as checkpoint:
        texts = [PredictionText(CORPUS, 512, seed, sequence_tokens=32) for seed in range(6)]
        found = [predicted(checkpoint, text, {name: ["Q6_K"]}) for text in texts]
        values = np.array([one.table[name]["Q6_K"] for one in found])
        importance = find_importance(found[0].calibration, checkpoint.tensors[name])
        weights = dequantize(checkpoint.read(name))
        errors = dequantize(quantize(weights, "Q6_K", importance, threads=1)) - weights
        tokens = np.stack([c.tokens for c in choose_sequences(checkpoint, texts[0])])
        model = load_model(checkpoint, threads=1)
        reference = log_softmax(model.logits(tokens))
        random, losses = np.random.default_rng(0), []
        for _ in range(draws):
            changed = weights + errors * random.choice([-1.0, 1.0], (len(weights), 1))
            blocks = changed.astype("<f4").reshape(-1, 1).view(np.uint8)
            model.replace(name, QuantizedTensor(FORMATS["F32"], weights.shape, blocks))
            quant = log_softmax(model.logits(tokens))
            losses.append((np.exp(reference) * (reference - quant)).sum(axis=-1).mean())
    # Both are means of independent draws, so their difference has the variance of both.
    error = np.sqrt(values.var(ddof=1) / len(values) + np.var(losses, ddof=1) / draws)
    true = np.mean(losses)
    assert abs(values.mean() - true) < 4 * error
    assert error < 0.1 * true  # otherwise the comparison would show little


def log_softmax(logits: np.ndarray) -> np.ndarray:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=-1, keepdims=True)
    found: np.ndarray = wide - np.log(np.exp(wide).sum(axis=-1, keepdims=True))
    return found


def test_sampled_rows_give_the_loss_of_all_rows_within_the_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"blk.{layer}.{role}.weight" for layer in (0, 1) for role in ("ffn_up", "attn_q")]
    names += ["token_embd.weight", "output.weight"]
    menu = {name: ["Q4_0"] for name in names}
    text = PredictionText(CORPUS, tokens=64, sequence_tokens=16)
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        whole = predicted(checkpoint, text, menu)
        monkeypatch.setattr("zeropoint.allocation.sampled_errors.SAMPLED_WEIGHTS", 1 << 14)
        part = predicted(checkpoint, text, menu)
    assert part.table["token_embd.weight"] == whole.table["token_embd.weight"]  # only looked up
    for name in names:
        distance = abs(part.table[name]["Q4_0"] - whole.table[name]["Q4_0"])
        assert distance < 3 * part.standard_errors[name]["Q4_0"], name


def test_weights_of_kinds_mix_the_losses_of_the_kinds(tmp_path: Path) -> None:
    name = "blk.0.ffn_up.weight"
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        losses = [
            predicted(checkpoint, PredictionText(CORPUS, 64, 0, weights, 16), {name: ["Q4_0"]})
            for weights in ({"two": 0.0}, {"one": 0.0}, {"one": 3.0})
        ]
    one, two, mixed = (found.table[name]["Q4_0"] for found in losses)
    assert one != two
    # the inputs, and with them the importance and the encoding, are the same in all three
    assert mixed == pytest.approx((3 * one + two) / 4, rel=1e-12)


def test_the_importance_is_that_of_calibrate(tmp_path: Path) -> None:
    text = PredictionText(CORPUS, tokens=64, sequence_tokens=16)
    with open_checkpoint(write_model(tmp_path / "m.gguf", experts=4)) as checkpoint:
        found = predicted(checkpoint, text, {"blk.0.attn_q.weight": ["keep"]})
        model = load_model(checkpoint, threads=1)
        run = CalibrationRun(model, choose_sequences(checkpoint, text))
        for _ in run.steps():
            pass
    expected = run.calibration((), "")
    assert found.table["blk.0.attn_q.weight"] == {"keep": 0.0}
    routers = {name for name in expected.statistics if "gate_inp" in name}  # never quantized
    assert set(found.calibration.statistics) == set(expected.statistics) - routers
    for name, ours in found.calibration.statistics.items():
        theirs = expected.statistics[name]
        assert np.array_equal(ours.counts, theirs.counts), name
        # two engines in float32: see tests/models/test_families.py
        assert np.allclose(ours.sums, theirs.sums, rtol=1e-3, atol=1e-5 * theirs.sums.max()), name


def info(rows: int, columns: int) -> TensorInfo:
    return TensorInfo("x", (rows, columns), FORMATS["F16"], 2 * rows * columns, Path("m.gguf"), 0)


def test_a_sample_represents_every_row_once() -> None:
    for rows, columns in ((5, 64), (300, 4096), (4096, 4096), (152_000, 1536)):
        sample = sample_rows(info(rows, columns), np.array([0, 3, 3, 4]))
        assert np.array_equal(sample.rows, np.unique(sample.rows))
        assert sample.rows.min() >= 0 and sample.rows.max() < rows
        assert sample.shares.sum() == pytest.approx(rows)
        assert len(sample.rows) >= min(rows, MIN_ROWS)
        assert (sample.shares[np.isin(sample.rows, [0, 3, 4])] == 1).all()


def test_a_sample_has_all_places_of_a_head() -> None:
    places = sample_rows(info(4096, 4096)).rows % 128  # heads of 128 rows; a 32nd is sampled
    assert np.bincount(places // 8, minlength=16).min() >= 4


def test_sampled_errors_are_those_of_the_encoded_tensor(tmp_path: Path) -> None:
    name = "blk.0.ffn_up_exps.weight"
    with open_checkpoint(write_model(tmp_path / "m.gguf", experts=3)) as checkpoint:
        shape = checkpoint.tensors[name].shape
        importance = np.random.default_rng(0).random((3, shape[2])).astype(np.float32)
        weights = dequantize(checkpoint.read(name))
        rows = np.array([0, 7, shape[1] - 1, shape[1], 3 * shape[1] - 1])
        found = dict(
            sampled_errors(checkpoint, name, rows, ["Q4_K", "keep"], importance, threads=1)
        )
        whole = dequantize(quantize(weights, "Q4_K", importance, threads=1)) - weights
    assert np.array_equal(found["Q4_K"], whole.reshape(-1, shape[2])[rows])
    assert not found["keep"].any()


def test_an_error_names_the_tensor(tmp_path: Path) -> None:
    broken = np.full((256, 256), 1.0, np.float32)
    broken[17, 3] = np.inf
    path = write_model(tmp_path / "m.gguf", changes={"blk.0.attn_q.weight": broken})
    with open_checkpoint(path) as checkpoint, pytest.raises(FormatError, match=r"blk\.0\.attn_q"):
        list(sampled_errors(checkpoint, "blk.0.attn_q.weight", np.arange(20), ["Q4_0"], threads=1))


def test_without_torch_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "zeropoint.models.gradients")
    monkeypatch.setitem(sys.modules, "torch", None)
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        text = PredictionText(CORPUS, tokens=64)
        with pytest.raises(
            UnsupportedModel, match=r'needs the package torch, .*pip install "zeropoint\[torch\]"'
        ):
            next(predict_losses(checkpoint, text, {}, threads=1))


def test_predictions_do_not_depend_on_the_threads(tmp_path: Path) -> None:
    """torch's products may differ in their last bits: see `GradientPass.run`."""
    menu = {"blk.1.ffn_down.weight": ["Q4_0"], "token_embd.weight": ["Q4_0"]}
    text = PredictionText(CORPUS, tokens=64, sequence_tokens=16)
    with open_checkpoint(write_model(tmp_path / "m.gguf")) as checkpoint:
        one, two = (predicted(checkpoint, text, menu, threads) for threads in (1, 2))
    for name in menu:
        assert one.table[name]["Q4_0"] == pytest.approx(two.table[name]["Q4_0"], rel=1e-3)
