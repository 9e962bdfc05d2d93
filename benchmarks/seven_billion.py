"""Memory and time per token of `measure` with a reference of 7 billion weights.

    python benchmarks/seven_billion.py MODEL [FOLDER] [--to Q4_K_M] [--tokens N] [--threads N]

Writes random BF16 weights of the shape of Llama 2 7B (13.8 GB) into FOLDER, slab by slab, with the
vocabulary of MODEL (any GGUF file), measures it against its own quant on one chunk of N tokens,
and deletes it. The loss of random weights means nothing; memory and time are those of any such
model.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zeropoint.checkpoints import NewTensor, create_checkpoint, open_checkpoint
from zeropoint.formats import FORMATS

LAYERS, WIDTH, INNER, HEADS = 32, 4096, 11008, 32
SLAB = 1 << 24  # weights written at a time


def tensors(vocabulary: int) -> Iterator[NewTensor]:
    """Yield every tensor of the model."""
    bf16, f32 = FORMATS["BF16"], FORMATS["F32"]
    yield NewTensor("token_embd.weight", (vocabulary, WIDTH), bf16)
    yield NewTensor("output.weight", (vocabulary, WIDTH), bf16)
    yield NewTensor("output_norm.weight", (WIDTH,), f32)
    for layer in range(LAYERS):
        for role in ("attn_norm", "ffn_norm"):
            yield NewTensor(f"blk.{layer}.{role}.weight", (WIDTH,), f32)
        for role in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield NewTensor(f"blk.{layer}.{role}.weight", (WIDTH, WIDTH), bf16)
        for role in ("ffn_gate", "ffn_up"):
            yield NewTensor(f"blk.{layer}.{role}.weight", (INNER, WIDTH), bf16)
        yield NewTensor(f"blk.{layer}.ffn_down.weight", (WIDTH, INNER), bf16)


def write(path: Path, vocabulary_of: Path) -> None:
    """Write the model: weights of both signs between 2^-11 and 2^-7."""
    with open_checkpoint(vocabulary_of) as source:
        kept = {k: v for k, v in source.metadata.items() if k.startswith("tokenizer.")}
        vocabulary = len(kept["tokenizer.ggml.tokens"])
    metadata = {
        "general.architecture": "llama", "general.name": "random 7B",
        "llama.block_count": np.uint32(LAYERS), "llama.context_length": np.uint32(4096),
        "llama.embedding_length": np.uint32(WIDTH), "llama.feed_forward_length": np.uint32(INNER),
        "llama.attention.head_count": np.uint32(HEADS),
        "llama.attention.head_count_kv": np.uint32(HEADS),
        "llama.rope.dimension_count": np.uint32(WIDTH // HEADS),
        "llama.attention.layer_norm_rms_epsilon": np.float32(1e-5), **kept,
    }  # fmt: skip
    generator = np.random.default_rng(7)
    new = list(tensors(vocabulary))
    with create_checkpoint(path, new, metadata) as writer:
        for tensor in new:
            if tensor.format.name == "F32":
                writer.write(tensor.name, np.ones(WIDTH, np.float32).view(np.uint8))
                continue
            left = int(np.prod(tensor.shape))
            while left:
                words = generator.integers(0, 1 << 16, min(left, SLAB), np.uint16)
                writer.write(tensor.name, (words & 0x81FF | 0x3A00).view(np.uint8))
                left -= words.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path, metavar="MODEL")
    parser.add_argument("folder", type=Path, nargs="?", metavar="FOLDER")
    parser.add_argument("--to", default="Q4_K_M")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        path, started = Path(folder) / "random-7b.gguf", time.perf_counter()
        write(path, arguments.model)
        print(
            f"{path.stat().st_size / 1e9:.1f} GB written in {time.perf_counter() - started:.0f} s"
        )
        command = [
            sys.executable, "-m", "zeropoint", "measure", str(path), "--as", arguments.to,
            "--ctx", str(arguments.tokens), "--chunks", "1", "--floor-chunks", "0", "--json",
            "--threads", str(arguments.threads), "--progress", "plain",
        ]  # fmt: skip
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found = json.loads(done.stdout)
    seconds = found["tokens"] / found["tokens_per_second"]
    print(
        f"peak memory {found['peak_memory_bytes'] / 2**30:.2f} GiB; {seconds:.1f} s for both "
        f"passes of {arguments.tokens} tokens, {seconds / arguments.tokens:.3f} s per token; "
        f"{found['startup_seconds']:.0f} s to load and quantize"
    )


if __name__ == "__main__":
    main()
