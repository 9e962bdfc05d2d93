"""Beside llama.cpp: its logits, taken through llama-cpp-python, measured by our statistics.

Run with `make test-peer`. What llama-perplexity itself prints of the same logits was compared by
hand (docs/measuring.md): its program is no part of llama-cpp-python.
"""

import ctypes
from pathlib import Path

import numpy as np
import pytest

from support.tiny_models import write_model
from zeropoint.checkpoints import open_model
from zeropoint.kernels.compare import compare_logits
from zeropoint.metrics.peers import llama_base_file as llama
from zeropoint.models import load_model

pytestmark = pytest.mark.peer

CONTEXT = 64


def peer_logits(path: Path, tokens: np.ndarray) -> np.ndarray:
    """llama.cpp's logits of all positions, with an F32 cache."""
    peer = pytest.importorskip("llama_cpp")
    parameters = peer.llama_context_default_params()
    parameters.n_ctx = parameters.n_batch = parameters.n_ubatch = len(tokens)
    parameters.type_k = parameters.type_v = 0  # F32
    parameters.flash_attn_type = 0  # it would round to F16
    parameters.n_threads = parameters.n_threads_batch = 1
    model = peer.llama_model_load_from_file(str(path).encode(), peer.llama_model_default_params())
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


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_the_same_figures_of_its_logits_as_of_ours(tmp_path: Path, kind: str) -> None:
    """F32 weights: the same numbers up to float32 rounding, and ggml's GELU from a table of F16."""
    atol = 1e-4 if kind == "llama" else 5e-4
    columns = 320 if kind == "gemma3" else 256
    path = write_model(tmp_path / "a.gguf", kind, format="F32", columns=columns)
    noise = np.random.default_rng(1).normal(0, 0.08, (512, columns)).astype(np.float32)
    changes = {"blk.0.ffn_up.weight": noise}
    other = write_model(tmp_path / "b.gguf", kind, format="F32", columns=columns, changes=changes)
    tokens = np.random.default_rng(2).integers(3, 300, CONTEXT, dtype=np.int32)
    targets = np.roll(tokens, -1)
    theirs = compare_logits(peer_logits(path, tokens), peer_logits(other, tokens), targets)
    a, b = (load_model(open_model(p), threads=1).logits(tokens) for p in (path, other))
    ours = compare_logits(a, b, targets)
    np.testing.assert_allclose(ours.kl, theirs.kl, atol=atol)
    np.testing.assert_allclose(ours.nll_quant, theirs.nll_quant, atol=2 * atol)
    assert ours.kl.mean() > 1e-3
    # And its own formulas over a base file's codes say the same to the codec's step.
    scores = llama.score_rows(llama.encode_rows(peer_logits(path, tokens)), b, targets)
    np.testing.assert_allclose(scores.kld, theirs.kl, atol=1e-3)
