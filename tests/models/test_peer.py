"""Beside llama.cpp: its logits of every family that it runs, its ids for awkward text.

Run with `make test-peer`. Real files are compared where ZEROPOINT_MODELS names a folder of GGUF
files.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from support import hf_folders, llama_peer
from support.families import FAMILIES, VOCABULARY, random_model, write_gguf
from support.vocabularies import AWKWARD, BYTE, CONTROL, NORMAL, UNKNOWN
from zeropoint.checkpoints import StringArray, open_checkpoint, open_model
from zeropoint.models import load_model, read_tokenizer
from zeropoint.plans import choose_formats
from zeropoint.quantizers import quantize_tensors

pytestmark = pytest.mark.peer

# llama.cpp ignores Mistral's and Phi-3's windows, knows no ReLU² in BitNet and ties its head;
# experts and rotations of other kinds are there.
RUN = ("llama", "llama tied", "llama biased", "llama 3.1", "llama linear", "llama yarn", "mixtral",
       "qwen2", "qwen3", "qwen3 moe", "gemma2", "gemma3", "phi3 long", "smollm3", "olmo2", "olmo3",
       "granitemoe", "gpt-oss", "qwen35", "qwen35 moe",
       "qwen3 next", "gemma4", "gemma4 equal",
       "gemma4 moe")  # fmt: skip
COUNT = 60
MORE = [
    "'s 't 'Re 'LL ’s", "it''s ''quoted''", "…—–‘’“”", "C:\\path\\to", "$100,000.00 100% #1 @me",
    "http://example.com/a/b?c=d&e=f#g", "<|im_start|>user\nhi<|im_end|>", "<bos><eos><unk><pad>",
    "<start_of_turn>user\nhello<end_of_turn>", "<|endoftext|>", "[INST] x [/INST]", "<unused5>",
    "<0x0A>", "▁▁▁▁", "𝕳𝖊𝖑𝖑𝖔 𝟙𝟚𝟛", "٠١٢٣", "Ａｂｃ１２３", "Ǆ ǅ ǆ", "नमस्ते", "สวัสดี", "x \n",
    "a\n\rd", "CamelCaseAndSNAKE_CASE", "\u3000全角\u3000", "a\u0300\u0301\u0302", "Ω≈ç√∫˜µ",
    "\ud7ff\ue000\ufffd",
]  # fmt: skip


def vocabulary() -> dict[str, object]:
    """Return the vocabulary that llama.cpp requires: all bytes, and letters that no merge joins."""
    letters = [chr(ord("a") + index) for index in range(VOCABULARY - 259)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), *letters]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(letters)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": StringArray.of(tokens),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.scores": np.zeros(VOCABULARY, np.float32),
    }


@pytest.mark.parametrize("name", RUN)
def test_f32_logits_equal_llama_cpps(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    with torch.no_grad():
        model = random_model(family)
        path = write_gguf(tmp_path / "tiny.gguf", family, model, more=vocabulary())
    tokens = np.random.default_rng(3).integers(3, VOCABULARY, COUNT)
    (theirs,) = llama_peer.logits([path], tokens.tolist())
    ours = load_model(open_checkpoint(path), threads=1).logits(tokens)
    # Logits are of size 6; ggml's GELU comes from a table of float16 (relative steps of 2^-11).
    allowed = 2e-2 if "gemma" in name else 5e-4
    assert np.abs(ours - theirs).max() < allowed


def test_converted_folders_give_transformers_logits(tmp_path: Path) -> None:
    """Folders of every family, as transformers writes them: converted by us, run by llama.cpp."""
    tokens = np.random.default_rng(4).integers(4, 260, COUNT)
    paths, wanted = [], []
    for index, name in enumerate(hf_folders.FAMILIES):
        # The folder's name becomes the model's, and llama.cpp asks models named phi3 for tokens.
        folder = hf_folders.make_folder(name, tmp_path / f"tiny-{index}")
        paths.append(as_file(folder, tmp_path / f"tiny-{index}.gguf"))
        wanted.append(transformers_alone(folder, tokens))
    for name, theirs, logits in zip(
        hf_folders.FAMILIES, llama_peer.logits(paths, tokens.tolist()), wanted, strict=True
    ):
        assert np.abs(theirs - logits).max() < (2e-2 if "gemma" in name else 1e-3), name


def as_file(folder: Path, output: Path) -> Path:
    with open_model(folder) as source:
        list(quantize_tensors(source, choose_formats(source, "F32"), output))
    return output


def transformers_alone(folder: Path, tokens: np.ndarray) -> np.ndarray:
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    with torch.no_grad():
        logits: np.ndarray = model(torch.from_numpy(tokens)[None]).logits[0].numpy()
    return logits


def files() -> list[Path]:
    folder = os.environ.get("ZEROPOINT_MODELS")
    return sorted(Path(folder).glob("*.gguf")) if folder else []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_ids_equal_llama_cpps_on_awkward_text(path: Path) -> None:
    peer = pytest.importorskip("llama_cpp")
    theirs = peer.Llama(str(path), vocab_only=True, verbose=False)
    ours = read_tokenizer(open_checkpoint(path))
    for text in AWKWARD + MORE:
        for special in (False, True):
            wanted = theirs.tokenize(text.encode(), add_bos=False, special=special)
            assert ours.encode(text, special=special) == wanted, (text, special)
        assert ours.encode(text, ends=True) == theirs.tokenize(text.encode(), add_bos=True)
