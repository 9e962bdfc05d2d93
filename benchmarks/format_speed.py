"""Measures llama.cpp's speed with every format on this processor, as a ratio to Q8_0.

    python benchmarks/format_speed.py LLAMA_BENCH [FORMAT…]

For each format, a model of random blocks is written: two layers of a Llama with rows of 2,048 and
8,192 weights, 134 million in all. Its values mean nothing, and speed does not depend on them.
llama-bench processes a prompt of 128 tokens and generates 16, with one thread; the best of five
repetitions counts. The figures are seconds per weight over those of Q8_0, which is measured again
after every fourth format because other processes share the machine. They are the table of
`zeropoint.plans.speed.format_speed`.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from zeropoint.checkpoints import NewTensor, create_checkpoint
from zeropoint.formats import FORMATS, UNQUANTIZED, Format

WIDTH, HIDDEN, LAYERS, VOCABULARY = 2048, 8192, 2, 512
PROMPT_TOKENS, GENERATED_TOKENS, REPETITIONS = 128, 16, 5
REMEASURE_AFTER = 4  # formats


def write_random_model(path: Path, format: Format) -> None:
    """Write a model whose matrices are random blocks of a format; small scales, so that few are
    infinite."""
    random = np.random.default_rng(0)
    shapes = {"token_embd.weight": (VOCABULARY, WIDTH), "output_norm.weight": (WIDTH,),
              "output.weight": (VOCABULARY, WIDTH)}  # fmt: skip
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}.weight": (WIDTH, WIDTH)
                   for name in ("attn_q", "attn_k", "attn_v", "attn_output")}  # fmt: skip
        shapes |= {f"blk.{layer}.{name}.weight": shape for name, shape in
                   (("attn_norm", (WIDTH,)), ("ffn_norm", (WIDTH,)), ("ffn_gate", (HIDDEN, WIDTH)),
                    ("ffn_up", (HIDDEN, WIDTH)), ("ffn_down", (WIDTH, HIDDEN)))}  # fmt: skip
    formats = {name: format if name.startswith("blk") and len(shape) > 1 else FORMATS["F32"]
               for name, shape in shapes.items()}  # fmt: skip
    tensors = [NewTensor(name, shape, formats[name]) for name, shape in shapes.items()]
    llama = {
        "context_length": 512, "embedding_length": WIDTH, "block_count": LAYERS,
        "feed_forward_length": HIDDEN, "attention.head_count": 16, "attention.head_count_kv": 16,
        "rope.dimension_count": 128, "vocab_size": VOCABULARY,
        "attention.layer_norm_rms_epsilon": 1e-5,
    }  # fmt: skip
    metadata: dict[str, object] = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "no_vocab",
    }
    metadata |= {f"llama.{key}": value for key, value in llama.items()}
    with create_checkpoint(path, tensors, metadata) as writer:
        for tensor in tensors:
            if formats[tensor.name].name == "F32":
                writer.write(tensor.name, np.ones(tensor.shape, "<f4").reshape(-1).view(np.uint8))
            else:
                blocks = int(np.prod(tensor.shape)) // format.block_size
                data = random.integers(0, 128, (blocks, format.block_bytes), np.uint8)
                writer.write(tensor.name, data.reshape(-1))


def tokens_per_second(bench: str, path: Path) -> tuple[float, float]:
    """Return the speeds of the prompt and of generation, tokens per second."""
    words = [bench, "-m", str(path), "-t", "1", "-p", str(PROMPT_TOKENS), "-n",
             str(GENERATED_TOKENS), "-r", str(REPETITIONS), "-o", "json"]  # fmt: skip
    rows = json.loads(subprocess.run(words, capture_output=True, check=True, text=True).stdout)
    prompt, generation = (max(row["samples_ts"]) for row in rows)
    return prompt, generation


def main() -> None:
    """Print a line for each format."""
    bench, *names = sys.argv[1:]
    names = names or [name for name in FORMATS if name not in UNQUANTIZED - {"BF16", "F16"}]
    print("format    generation  prompt     (seconds per weight over those of Q8_0)")
    with tempfile.TemporaryDirectory() as folder:
        path, base = Path(folder) / "base.gguf", (0.0, 0.0)
        write_random_model(path, FORMATS["Q8_0"])
        for number, name in enumerate(names):
            if number % REMEASURE_AFTER == 0:
                base = tokens_per_second(bench, path)
            other = Path(folder) / "other.gguf"
            write_random_model(other, FORMATS[name])
            prompt, generation = tokens_per_second(bench, other)
            print(f"{name:9} {base[1] / generation:10.2f} {base[0] / prompt:7.2f}", flush=True)


if __name__ == "__main__":
    main()
