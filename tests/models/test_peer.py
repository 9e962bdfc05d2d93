"""Beside llama.cpp: its logits of every family that it runs, its ids for awkward text.

Run with `make test-peer`. Real files are compared where ZEROPOINT_MODELS names a folder of GGUF
files.
"""

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES, VOCABULARY, random_model, write_gguf
from test_tokenizer import AWKWARD
from vocabularies import BYTE, CONTROL, NORMAL, UNKNOWN

from zeropoint.checkpoints import StringArray, open_checkpoint
from zeropoint.models import load_model, read_tokenizer

pytestmark = pytest.mark.peer

# llama.cpp ignores Mistral's and Phi-3's windows, knows no ReLU² in BitNet and ties its head;
# experts and rotations of other kinds are there.
RUN = ("llama", "llama tied", "llama biased", "llama 3.1", "llama linear", "llama yarn", "mixtral",
       "qwen2", "qwen3", "qwen3 moe", "gemma2", "gemma3", "phi3 long", "smollm3")  # fmt: skip
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
    """What llama.cpp needs to load a file: bytes, and letters that nothing joins."""
    letters = [chr(ord("a") + index) for index in range(VOCABULARY - 259)]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256)), *letters]
    kinds = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * len(letters)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": StringArray.of(tokens),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.scores": np.zeros(VOCABULARY, np.float32),
    }


def peer_logits(path: Path, tokens: np.ndarray) -> np.ndarray:
    """llama.cpp's logits of all positions, with an F32 cache and without flash attention."""
    peer = pytest.importorskip("llama_cpp")
    parameters = peer.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = len(tokens)
    parameters.type_k = parameters.type_v = 0
    parameters.flash_attn_type = 0
    parameters.n_threads = parameters.n_threads_batch = 1
    model = peer.llama_model_load_from_file(str(path).encode(), peer.llama_model_default_params())
    assert model, "llama.cpp does not load this file"
    context = peer.llama_init_from_model(model, parameters)
    batch = peer.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens.tolist()):
        batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, i, 1
        batch.seq_id[i][0], batch.logits[i] = 0, 1
    assert peer.llama_decode(context, batch) == 0
    size = peer.llama_vocab_n_tokens(peer.llama_model_get_vocab(model))
    pointer = ctypes.cast(peer.llama_get_logits(context), ctypes.POINTER(ctypes.c_float))
    found = np.ctypeslib.as_array(pointer, shape=(len(tokens), size)).copy()
    peer.llama_batch_free(batch)
    peer.llama_free(context)
    peer.llama_model_free(model)
    return found


@pytest.mark.parametrize("name", RUN)
def test_f32_logits_equal_llama_cpps(name: str, tmp_path: Path) -> None:
    family = FAMILIES[name]
    with torch.no_grad():
        model = random_model(family)
        path = write_gguf(tmp_path / "tiny.gguf", family, model, more=vocabulary())
    tokens = np.random.default_rng(3).integers(3, VOCABULARY, COUNT)
    theirs = peer_logits(path, tokens)
    ours = load_model(open_checkpoint(path), threads=1).logits(tokens)
    # Logits are of size 6; ggml's GELU comes from a table of float16 (relative steps of 2^-11).
    allowed = 2e-2 if "gemma" in name else 5e-4
    assert np.abs(ours - theirs).max() < allowed


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
