"""Every verb prints the warnings of a model once on stderr, and its JSON contains them."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers.pre_tokenizers import ByteLevel

from support.tiny_models import vocabulary_size, write_model
from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.cli import main


@pytest.fixture(scope="module")
def unnamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with byte pairs whose file does not name the pre-tokenizer; a text beside it."""
    folder = tmp_path_factory.mktemp("unnamed")
    source = open_checkpoint(write_model(folder / "whole.gguf", columns=64))
    tokens = sorted(ByteLevel.alphabet()) + [f"<{i}>" for i in range(vocabulary_size() - 256)]
    facts = dict(source.metadata) | {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": StringArray.of(tokens),
        "tokenizer.ggml.token_type": np.ones(len(tokens), np.int32),
        "tokenizer.ggml.merges": StringArray.of(["t h"]),
    }
    del facts["tokenizer.ggml.pre"], facts["tokenizer.ggml.scores"]
    entries = [NewTensor(info.name, info.shape, info.format) for info in source.tensors.values()]
    path = folder / "model.gguf"
    with create_checkpoint(path, entries, facts) as writer:
        for name in source.tensors:
            writer.write(name, source.read(name))
    (folder / "text.txt").write_text("the cat and the hat in the rain " * 80)
    (folder / "prompts.txt").write_text("the cat\n")
    return path


VERBS = {
    "inspect": ["inspect", "MODEL"],
    "run": ["run", "MODEL", "-p", "the", "-n", "2"],
    "plan": ["plan", "MODEL", "--device", "rtx3090"],
    "quantize": ["quantize", "MODEL", "OUT.gguf", "--to", "Q8_0"],
    "measure": ["measure", "MODEL", "--ref", "MODEL", "--text", "TEXT", "--ctx", "16"],
    "measure --as": ["measure", "MODEL", "--as", "Q8_0", "--text", "TEXT", "--ctx", "16"],
    "compare": ["compare", "MODEL", "MODEL", "--text", "TEXT", "--chunks", "1"],
    "calibrate": ["calibrate", "MODEL", "-o", "OUT.imatrix.gguf", "--text", "TEXT", "--ctx", "16"],
    "drift": [
        "drift",
        "MODEL",
        "--ref",
        "MODEL",
        "-n",
        "2",
        "--prompts",
        "PROMPTS",
        "--chains",
        "0",
    ],
    "ladder": ["ladder", "MODEL", "--text", "TEXT", "--ctx", "16", "--levels", "Q8_0"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_warns_once_of_a_pre_tokenizer_that_is_not_named(
    verb: str, unnamed: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = {
        "PROMPTS": str(unnamed.with_name("prompts.txt")),
        "MODEL": str(unnamed),
        "TEXT": str(unnamed.with_name("text.txt")),
    }
    words = [places.get(word, word) for word in VERBS[verb]]
    words = [str(tmp_path / word) if word.startswith("OUT") else word for word in words]
    assert main([*words, "--json", "-q"]) == 0, capfd.readouterr().err
    said = capfd.readouterr()
    warned = [line for line in said.err.splitlines() if "tokenizer.ggml.pre" in line]
    assert len(warned) == 1 and warned[0].startswith(f"warning: {unnamed}")
    (text,) = json.loads(said.out)["warnings"]
    assert f"warning: {text}" == warned[0]


def test_a_file_that_names_it_has_no_warnings(
    unnamed: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(unnamed.with_name("whole.gguf")), "--json"]) == 0
    said = capfd.readouterr()
    assert "warning" not in said.err and "warnings" not in json.loads(said.out)
