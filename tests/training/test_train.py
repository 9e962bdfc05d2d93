"""`train`: the file has the weights that were trained, and a stopped run ends with the same."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import zeropoint
from support.tiny_models import write_model
from zeropoint.checkpoints import open_checkpoint
from zeropoint.errors import CheckpointError, FormatError, MeasurementError, OutputError
from zeropoint.kernels import decode
from zeropoint.models import load_model
from zeropoint.models.tokenizer import read_tokenizer
from zeropoint.results.train import TrainResult
from zeropoint.training.export import pack_blocks, write_trained
from zeropoint.training.recipes import trainable_format
from zeropoint.training.text import TrainingTokens, split_documents, tokenize
from zeropoint.training.trainer import Trainer, TrainingPlan
from zeropoint.verbs.options.train import TrainOptions
from zeropoint.verbs.records import StageStarted
from zeropoint.verbs.train import train_records

CONTEXT = 32
PLAN = TrainingPlan(steps=4, windows=4, rate=1e-3)
WORDS = "the rain in spain and the train in a chain\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("train") / "tiny.gguf")


@pytest.fixture(scope="module")
def tokens(model: Path) -> TrainingTokens:
    text = split_documents({"text": WORDS * 200})
    return tokenize(text, read_tokenizer(open_checkpoint(model)).encode, CONTEXT)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def trainer_of(model: Path, tokens: TrainingTokens, name: str) -> Trainer:
    return Trainer(open_checkpoint(model), trainable_format(name), tokens, PLAN, seed=0)


@pytest.mark.parametrize("name", ["NVFP4", "MXFP4", "TERNARY", "MXFP8"])
def test_the_file_decodes_to_the_weights_that_were_trained(
    name: str, model: Path, tokens: TrainingTokens, tmp_path: Path
) -> None:
    trainer = trainer_of(model, tokens, name)
    before = float(trainer.train_step())
    output = tmp_path / "out.gguf"
    write_trained(trainer, open_checkpoint(model), output, {}, overwrite=False)
    written = open_checkpoint(output)
    for tensor in trainer.low_bit_names():
        stored = written.read(tensor)
        blocks = trainer.rounded(tensor)
        assert stored.format.name == trainer.format.stored
        flat = decode(stored.format, stored.data).reshape(stored.shape)
        scale = written.tensors.get(tensor.removesuffix("weight") + "scale")
        expected = blocks.units() if scale is not None else blocks.weights()
        assert np.array_equal(flat, expected.numpy())
    assert bool(trainer.low_bit_names()) and np.isfinite(before)
    # The compiled engine computes the loss that the trainer has with the weights of the file.
    engine = load_model(output, threads=1)
    rows = tokens.held_out[:2]
    logits = engine.logits(rows[:, :-1]).astype(np.float64)
    found = (
        np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0]
    )
    expected = trainer.evaluate(as_stored=True)[:2]
    assert np.allclose(found.mean(axis=1), expected, atol=1e-5)


def test_a_restored_trainer_continues_with_the_same_bits(
    model: Path, tokens: TrainingTokens
) -> None:
    whole = trainer_of(model, tokens, "NVFP4")
    losses = [whole.train_step() for _ in range(3)]
    first = trainer_of(model, tokens, "NVFP4")
    assert first.train_step() == losses[0]
    second = trainer_of(model, tokens, "NVFP4")
    second.restore({name: np.array(array) for name, array in first.state().items()})
    assert [second.train_step() for _ in range(2)] == losses[1:]
    one, other = whole.state(), second.state()
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


def test_an_interrupted_run_ends_with_the_same_result_and_the_same_file(
    model: Path, tmp_path: Path
) -> None:
    text = tmp_path / "text.txt"
    text.write_text(WORDS * 200)
    options: dict[str, Any] = {
        "format": ["MXFP4"], "model": model, "text": text, "tokens": 3 * 128, "context": CONTEXT,
        "threads": 1,
    }  # fmt: skip
    whole = zeropoint.train(tmp_path / "whole.gguf", run=tmp_path / "a", **options)
    assert whole.formats[1].curves[0].tokens == (128, 256, 384)
    assert whole.formats[1].gap is not None and whole.baseline == "BF16"
    settings = TrainOptions(run=tmp_path / "b", **options)
    target = tmp_path / "resumed.gguf"
    for count in (3, 5):  # records: after the first step, then after the last one of BF16
        records = train_records(target, settings)
        assert not isinstance([next(records) for _ in range(count)][-1], TrainResult)
        records.close()  # type: ignore[attr-defined]
        assert not target.exists()
    *others, resumed = train_records(target, settings)
    assert any(isinstance(record, StageStarted) for record in others)
    assert isinstance(resumed, TrainResult)
    formats = [replace(one, output=None) for one in (whole.formats[1], resumed.formats[1])]
    assert formats[0] == formats[1]
    assert target.read_bytes() == (tmp_path / "whole.gguf").read_bytes()
    with pytest.raises(CheckpointError, match="holds another run"):
        list(train_records(tmp_path / "c.gguf", replace(settings, seeds=2)))


def test_bad_input_is_one_sentence(model: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("a b c")
    with pytest.raises(MeasurementError, match="a context of 32 needs at least 66 and 33"):
        zeropoint.train(
            tmp_path / "a.gguf", model=model, text=short, context=32, run=tmp_path / "r"
        )
    with pytest.raises(MeasurementError, match="too short for a vocabulary of 4,096 tokens"):
        zeropoint.train(tmp_path / "a.gguf", text=short, context=32, run=tmp_path / "s")
    with pytest.raises(FormatError, match="Q4_K cannot be trained"):
        zeropoint.train(tmp_path / "a.gguf", format="Q4_K")
    with pytest.raises(OutputError, match=r"must end in \.gguf"):
        zeropoint.train(tmp_path / "a.bin")
    with pytest.raises(MeasurementError, match="must be a multiple of 32"):
        zeropoint.train(tmp_path / "a.gguf", context=40)


@pytest.mark.parametrize("name", ["NVFP4", "MXFP4", "TQ2_0"])
def test_packed_codes_are_those_of_the_blocks(name: str) -> None:
    format = {"TQ2_0": "TERNARY"}.get(name, name)
    right = trainable_format(format).recipe.forward.right
    weights = torch.from_numpy(np.random.default_rng(0).standard_normal((32, 512))).float()
    weights[3], weights[4] = 0, weights[4] * 1e-6
    blocks = right(weights)
    stored = zeropoint.FORMATS[name]
    decoded = stored.decode_blocks(pack_blocks(stored, blocks)).reshape(weights.shape)
    expected = blocks.weights() if name == "TQ2_0" else blocks.units()
    assert np.array_equal(decoded, expected.numpy())
