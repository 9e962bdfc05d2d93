"""GGUF to a Hugging Face folder and back: transformers alone loads it, and nothing has changed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from support import hf_folders
from support.tiny_models import write_model
from zeropoint.checkpoints import Checkpoint, open_checkpoint, open_model
from zeropoint.errors import CheckpointError, UnsupportedModel
from zeropoint.formats import FORMATS
from zeropoint.models import load_model, read_tokenizer
from zeropoint.plans import choose_formats
from zeropoint.quantizers import WriteOptions, quantize_tensors
from zeropoint.quantizers.export import export_folder

TOKENS = np.random.default_rng(0).integers(4, 260, 40)
TEXT = "the Hello, there 123 an\n\n  in the ring! é <s> ?\n\n漢字"


def as_file(folder: Path, output: Path) -> Path:
    with open_model(folder) as source:
        choices = choose_formats(source, "F32")
        list(quantize_tensors(source, choices, output, options=WriteOptions(to="F32")))
    return output


def as_folder(source: Checkpoint, folder: Path, format: str = "F32") -> Path:
    list(export_folder(source, folder, FORMATS[format], threads=1))
    return folder


def logits(folder: Path) -> np.ndarray:
    """Return the logits that transformers alone computes from a folder."""
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    with torch.no_grad():
        found: np.ndarray = model(torch.from_numpy(TOKENS)[None]).logits[0].numpy()
    return found


def ids(folder: Path, *, ends: bool = False) -> list[int]:
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(folder)
    found: list[int] = tokenizer(TEXT, add_special_tokens=ends)["input_ids"]
    return found


def cases() -> Iterator[tuple[str, str]]:
    for name in hf_folders.FAMILIES:
        pieces = name in ("llama2", "gemma3")  # these have had such a tokenizer
        yield name, "pieces" if pieces else "bytes"


@pytest.mark.parametrize(("name", "tokenizer"), list(cases()))
def test_there_and_back_again(name: str, tokenizer: str, tmp_path: Path) -> None:
    original = hf_folders.make_folder(name, tmp_path / "original", tokenizer=tokenizer)
    file = as_file(original, tmp_path / "there.gguf")
    with open_checkpoint(file) as source:
        folder = as_folder(source, tmp_path / "back")
    # Gemma's norms are weight + 1 in the file: up to 2^-24 is rounded away, of logits of size 10.
    allowed = 2e-5 if name.startswith("gemma") else 0.0
    assert np.abs(logits(folder) - logits(original)).max() <= allowed
    again = as_file(folder, tmp_path / "again.gguf")
    with open_checkpoint(file) as source, open_checkpoint(again) as back:
        assert list(back.tensors) == list(source.tensors)
        for tensor in source.tensors:
            found, wanted = back.read(tensor), source.read(tensor)
            assert (found.format, found.shape) == (wanted.format, wanted.shape)
            np.testing.assert_array_equal(found.data, wanted.data)
        one, other = (load_model(checkpoint, threads=1) for checkpoint in (source, back))
        wanted = one.tokenizer.encode(TEXT, special=True, ends=True)
        assert other.tokenizer.encode(TEXT, special=True, ends=True) == wanted
        assert ids(folder, ends=True) == wanted
        np.testing.assert_array_equal(one.logits(TOKENS), other.logits(TOKENS))
        assert np.abs(one.logits(TOKENS) - logits(original)).max() < 1e-3
        assert ids(folder) == ids(original)
        differs = {
            key
            for key in source.metadata.keys() | back.metadata.keys()
            if repr(source.metadata.get(key)) != repr(back.metadata.get(key))
        }
    assert all(key.startswith(("general.", "zeropoint.")) for key in differs), differs


def test_a_quant_becomes_a_folder_of_its_decoded_weights(tmp_path: Path) -> None:
    file = write_model(tmp_path / "tiny.gguf", "qwen2", format="Q4_0")
    with open_checkpoint(file) as source:
        folder = as_folder(source, tmp_path / "folder")
        ours = load_model(source, threads=1).logits(TOKENS)
    assert np.abs(logits(folder) - ours).max() < 1e-4
    with open_model(folder) as back:
        np.testing.assert_array_equal(load_model(back, threads=1).logits(TOKENS), ours)
    half = as_folder(open_checkpoint(file), tmp_path / "half", "BF16")
    assert sum(p.stat().st_size for p in half.glob("*.safetensors")) < 0.51 * sum(
        p.stat().st_size for p in folder.glob("*.safetensors")
    )


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    file = write_model(tmp_path / "tiny.gguf")
    with open_checkpoint(file) as source:
        steps = export_folder(source, tmp_path / "folder", FORMATS["F32"], threads=1)
        next(steps)
        steps.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.gguf"]
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "mine.txt").write_text("mine")
        with pytest.raises(CheckpointError, match="choose a new folder"):
            as_folder(source, tmp_path / "folder")
        with pytest.raises(UnsupportedModel, match=r"\.gguf"):
            as_folder(source, tmp_path / "other", "Q4_0")
    assert read_tokenizer(open_checkpoint(file)).encode("the cat")


def test_two_exports_to_one_folder_leave_what_the_first_one_wrote(tmp_path: Path) -> None:
    source = open_checkpoint(write_model(tmp_path / "tiny.gguf"))
    straight = as_folder(source, tmp_path / "straight")
    first = export_folder(source, tmp_path / "folder", FORMATS["F32"], threads=1)
    for _ in range(3):
        next(first)
        for overwrite in (False, True):
            second = export_folder(
                source, tmp_path / "folder", FORMATS["BF16"], threads=1, overwrite=overwrite
            )
            with pytest.raises(CheckpointError, match="is being written by another process"):
                list(second)
    list(first)
    for path in straight.iterdir():
        assert (tmp_path / "folder" / path.name).read_bytes() == path.read_bytes()
    list(export_folder(source, tmp_path / "folder", FORMATS["BF16"], threads=1, overwrite=True))
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["folder", "straight", "tiny.gguf"]
