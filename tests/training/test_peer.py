"""Trained files beside stock llama.cpp. Run with `make test-peer`."""

from pathlib import Path

import numpy as np
import pytest
import torch

from support import llama_peer
from zeropoint.checkpoints import open_checkpoint
from zeropoint.checkpoints.families.new_model import DecoderShape
from zeropoint.models import load_model
from zeropoint.models.tokenizer import read_tokenizer
from zeropoint.training.export import write_trained
from zeropoint.training.new_model import train_vocabulary, write_new_model
from zeropoint.training.recipes import trainable_format
from zeropoint.training.text import split_documents, tokenize
from zeropoint.training.trainer import Trainer, TrainingPlan

pytestmark = pytest.mark.peer
MAX_KL = 0.005  # nats per token; llama.cpp rounds activations to 8 bits


@pytest.mark.parametrize("name", ["NVFP4", "MXFP4", "TERNARY", "MXFP8"])
def test_llama_cpp_computes_what_the_trained_file_decodes_to(name: str, tmp_path: Path) -> None:
    format = trainable_format(name)
    text = "the rain in spain stays mainly in the plain\n" * 400
    vocabulary = train_vocabulary([text], 272)
    start = tmp_path / "start.gguf"
    shape = DecoderShape(vocabulary=272, layers=2)
    write_new_model(start, vocabulary, shape, sub_norms=format.sub_norms, seed=0)
    source = open_checkpoint(start)
    parts = split_documents({"text": text})
    tokens = tokenize(parts, read_tokenizer(source).encode, 32)
    trainer = Trainer(source, format, tokens, TrainingPlan(steps=4, windows=4, rate=1e-3), 0)
    numbers = torch.Generator().manual_seed(0)
    for parameter in trainer.model.parameters.values():  # logits as wide as those of real models
        if parameter.ndim > 1:
            values = torch.randn(parameter.shape, generator=numbers)
            parameter.data = values * 1.5 / parameter.shape[1] ** 0.5
    write_trained(trainer, source, tmp_path / "out.gguf", {}, overwrite=False)
    ids = np.random.default_rng(1).integers(1, 272, 48)
    (theirs,) = llama_peer.logits([tmp_path / "out.gguf"], ids.tolist())
    ours = load_model(tmp_path / "out.gguf", threads=1).logits(ids)
    p, q = (torch.log_softmax(torch.from_numpy(one).double(), -1) for one in (ours, theirs))
    assert float((p.exp() * (p - q)).sum(-1).mean()) < MAX_KL
