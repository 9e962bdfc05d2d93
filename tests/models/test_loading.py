"""Models that cannot run are refused in one sentence before anything is computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support.families import FAMILIES, random_model, write_gguf
from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.errors import CheckpointError, UnsupportedModel, ZeropointError
from zeropoint.formats import FORMATS
from zeropoint.models import load_model

Facts = dict[str, Any]
Tensors = dict[str, np.ndarray]


def rewritten(path: Path, change: Callable[[Facts, Tensors], object]) -> Path:
    """A tiny llama file, its metadata and tensors changed."""
    family = FAMILIES["llama"]
    write_gguf(path, family, random_model(family))
    with open_checkpoint(path) as source:
        facts = dict(source.metadata)
        tensors: Tensors = {}
        for name in source.tensors:
            tensor = source.read(name)
            tensors[name] = tensor.format.decode_blocks(tensor.data).reshape(tensor.shape)
    change(facts, tensors)
    entries = [NewTensor(name, array.shape, FORMATS["F32"]) for name, array in tensors.items()]
    with create_checkpoint(path, entries, facts) as writer:
        for name, array in tensors.items():
            writer.write(name, np.ascontiguousarray(array, "<f4").reshape(-1).view(np.uint8))
    return path


def without(key: str) -> Callable[[Facts, Tensors], object]:
    return lambda facts, tensors: (facts if key in facts else tensors).pop(key)


def with_fact(key: str, value: object) -> Callable[[Facts, Tensors], object]:
    return lambda facts, tensors: facts.update({key: value})


def with_tensor(name: str, array: np.ndarray) -> Callable[[Facts, Tensors], object]:
    return lambda facts, tensors: tensors.update({name: array})


NOT_FINITE = np.array([np.nan] * 64, np.float32)
BROKEN = {
    "no architecture": (without("general.architecture"), CheckpointError, "this key is missing"),
    "unknown architecture": (
        with_fact("general.architecture", "mamba"), UnsupportedModel, "'mamba' is not supported"),
    "no width": (without("llama.embedding_length"), CheckpointError, "embedding_length"),
    "no layers": (without("llama.block_count"), CheckpointError, "block_count"),
    "a text for a number": (
        with_fact("llama.block_count", "four"), CheckpointError, "not a whole number"),
    "a negative number": (
        with_fact("llama.block_count", -1), CheckpointError, "at least 1"),
    "infinite epsilon": (
        with_fact("llama.attention.layer_norm_rms_epsilon", np.inf), CheckpointError, "finite"),
    "more layers than tensors": (
        with_fact("llama.block_count", 5), CheckpointError, "layer 4 has no tensors"),
    "no embedding": (without("token_embd.weight"), CheckpointError, "token_embd.weight.*missing"),
    "no norm": (without("output_norm.weight"), CheckpointError, "output_norm.weight.*missing"),
    "no down": (without("blk.2.ffn_down.weight"), CheckpointError, "blk.2.ffn_down.*missing"),
    "no keys": (without("blk.0.attn_k.weight"), CheckpointError, "blk.0.attn_k.weight.*missing"),
    "no heads in one layer": (
        with_fact("llama.attention.head_count", [4, 0, 4, 4]), CheckpointError, "do not divide 0"),
    "heads that cannot share": (
        with_fact("llama.attention.head_count_kv", 3), CheckpointError, "does not divide 4"),
    "another number of heads": (
        with_fact("llama.attention.head_count_kv", 4), CheckpointError, "has shape"),
    "a matrix of another shape": (
        with_tensor("blk.1.ffn_up.weight", np.zeros((96, 32))), CheckpointError, "has shape"),
    "a bias of another length": (
        with_tensor("blk.1.attn_q.bias", np.zeros(3)), CheckpointError, "has shape"),
    "a norm that is not finite": (
        with_tensor("blk.1.attn_norm.weight", NOT_FINITE), CheckpointError, "not finite"),
    "odd rotations": (
        with_fact("llama.rope.dimension_count", 7), CheckpointError, "must be even"),
    "rotations unknown": (
        with_fact("llama.rope.scaling.type", "spiral"), CheckpointError, "'spiral' is not"),
    "a vocabulary that does not match": (
        with_fact("tokenizer.ggml.tokens", ["a", "b"]), CheckpointError, "2 tokens.*272 rows"),
    "an activation unknown": (
        with_fact("llama.hidden_activation", "swoosh"), UnsupportedModel, "'swoosh'"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_model_is_one_sentence(case: str, tmp_path: Path) -> None:
    change, error, says = BROKEN[case]
    path = rewritten(tmp_path / "broken.gguf", change)
    with pytest.raises(error, match=says) as caught:
        load_model(open_checkpoint(path), threads=1)
    assert isinstance(caught.value, ZeropointError)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_model_without_a_tokenizer_still_gives_logits(tmp_path: Path) -> None:
    path = rewritten(tmp_path / "plain.gguf", lambda facts, tensors: None)
    model = load_model(open_checkpoint(path), threads=1)
    assert model.logits([1, 2]).shape == (2, 272)
    with pytest.raises(UnsupportedModel, match="tokenizer None"):
        model.tokenizer  # noqa: B018 (made when asked for)


def test_memory_is_about_the_size_of_the_file(tmp_path: Path) -> None:
    """Matrices take as many bytes as their blocks; an embedding that is not the head takes none."""
    path = rewritten(tmp_path / "plain.gguf", lambda facts, tensors: None)
    checkpoint = open_checkpoint(path)
    model = load_model(checkpoint, threads=1)
    held = sum(
        matrix.nbytes
        for name in model.matrices()
        for matrix in model._weights.packed(name)  # type: ignore[attr-defined]
    )
    blocks = sum(checkpoint.tensors[name].nbytes for name in model.matrices())
    assert "token_embd.weight" not in model.matrices()
    assert blocks <= held <= blocks * 1.35  # rows in panels of 16, columns in units of 32
