"""Small random models in GGUF files that llama.cpp loads too, for any test that needs a model.

from support.tiny_models import write_model
path = write_model(tmp_path / "tiny.gguf")                       # llama, F16, 0.7 M weights
path = write_model(tmp_path / "moe.gguf", "llama", experts=4)    # experts stacked on axis 0
path = write_model(tmp_path / "g.gguf", "gemma3", columns=320)   # rows no multiple of 256, tied
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint
from zeropoint.formats import FORMATS, Format
from zeropoint.quantizers import quantize

HEAD = 64  # weights per attention head
HIDDEN = 512  # of the feed-forward layer
UNKNOWN, BEGIN, END = 0, 1, 2
CONTROL, BYTE, NORMAL = 3, 6, 1  # kinds of token


@dataclass(frozen=True)
class Shape:
    """Shape of a tiny model."""

    architecture: str = "llama"
    columns: int = 256  # of the residual stream
    layers: int = 2
    experts: int = 0
    biases: bool = False  # on q, k and v, as Qwen 2 has them

    @property
    def heads(self) -> int:
        return self.columns // HEAD

    @property
    def groups(self) -> int:
        """Heads for keys and values: half of the others where that works."""
        return self.heads // 2 if self.heads % 2 == 0 else 1


def write_model(
    path: Path,
    architecture: str = "llama",
    *,
    columns: int = 256,
    experts: int = 0,
    format: str = "F16",
    changes: Mapping[str, np.ndarray] | None = None,
) -> Path:
    """Write a random model; `changes` replaces tensors by name. Vectors are F32."""
    shape = Shape(architecture, columns, experts=experts, biases=architecture == "qwen2")
    weights = random_weights(shape, seed=0) | dict(changes or {})
    wanted = FORMATS[format]
    formats = {
        name: FORMATS["F32"] if array.ndim == 1 or "gate_inp" in name else wanted
        for name, array in weights.items()
    }
    tensors = [NewTensor(name, array.shape, formats[name]) for name, array in weights.items()]
    with create_checkpoint(path, tensors, metadata(shape)) as writer:
        for name, array in weights.items():
            writer.write(name, stored(array, formats[name]))
    return path


def stored(array: np.ndarray, format: Format) -> np.ndarray:
    """The blocks of an array; floats may hold what no encoder takes (NaN), for tests of that."""
    plain = {"F32": "<f4", "F16": "<f2"}
    if format.name in plain:
        with np.errstate(over="ignore"):
            return array.astype(plain[format.name]).reshape(-1).view(np.uint8)
    return quantize(array, format, threads=1).data


def random_weights(shape: Shape, seed: int) -> dict[str, np.ndarray]:
    """Weights of the usual sizes: matrices of deviation 1/√columns, norms about 1."""
    random = np.random.default_rng(seed)
    width, kv = shape.heads * HEAD, shape.groups * HEAD

    def matrix(*axes: int) -> np.ndarray:
        scale = 1 / np.sqrt(axes[-1])
        found: np.ndarray = (random.standard_normal(axes) * scale).astype(np.float32)
        return found

    def vector(length: int) -> np.ndarray:
        return (1 + random.standard_normal(length) / 10).astype(np.float32)

    size = vocabulary_size()
    gemma = shape.architecture == "gemma3"
    weights = {"token_embd.weight": matrix(size, shape.columns)}
    for layer in range(shape.layers):
        names = {
            "attn_norm": vector(shape.columns),
            "attn_q": matrix(width, shape.columns),
            "attn_k": matrix(kv, shape.columns),
            "attn_v": matrix(kv, shape.columns),
            "attn_output": matrix(shape.columns, width),
            "ffn_norm": vector(shape.columns),
        }
        if gemma:
            names |= {"attn_q_norm": vector(HEAD), "attn_k_norm": vector(HEAD)}
            names |= {f"post_{part}_norm": vector(shape.columns) for part in ("attention", "ffw")}
        if shape.experts:
            names["ffn_gate_inp"] = matrix(shape.experts, shape.columns)
            names["ffn_gate_exps"] = matrix(shape.experts, HIDDEN, shape.columns)
            names["ffn_up_exps"] = matrix(shape.experts, HIDDEN, shape.columns)
            names["ffn_down_exps"] = matrix(shape.experts, shape.columns, HIDDEN)
        else:
            names["ffn_gate"] = matrix(HIDDEN, shape.columns)
            names["ffn_up"] = matrix(HIDDEN, shape.columns)
            names["ffn_down"] = matrix(shape.columns, HIDDEN)
        weights |= {f"blk.{layer}.{name}.weight": array for name, array in names.items()}
        if shape.biases:
            for name, length in (("q", width), ("k", kv), ("v", kv)):
                weights[f"blk.{layer}.attn_{name}.bias"] = vector(length) - 1
    weights["output_norm.weight"] = vector(shape.columns)
    if not gemma:
        weights["output.weight"] = matrix(size, shape.columns)
    return weights


def tokens() -> list[str]:
    """A vocabulary of bytes, letters and a few words, as SentencePiece has them."""
    letters = ["▁"] + [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = ["▁" + letter for letter in letters[1:]] + ["th", "▁th", "▁the", "in", "er", "an"]
    return ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *letters, *words]


def vocabulary_size() -> int:
    """Tokens, and how many rows the embedding has."""
    return len(tokens())


def metadata(shape: Shape) -> dict[str, object]:
    """Return the metadata that llama.cpp requires in a model's file."""
    words = tokens()
    kinds = [CONTROL] * 3 + [BYTE] * 256 + [NORMAL] * (len(words) - 259)
    scores = [0.0] * 259 + [-float(place) for place in range(len(words) - 259)]
    name = shape.architecture
    facts: dict[str, object] = {
        "general.architecture": name,
        "general.name": f"tiny {name}",
        f"{name}.context_length": 512,
        f"{name}.embedding_length": shape.columns,
        f"{name}.block_count": shape.layers,
        f"{name}.feed_forward_length": HIDDEN,
        f"{name}.attention.head_count": shape.heads,
        f"{name}.attention.head_count_kv": shape.groups,
        f"{name}.attention.layer_norm_rms_epsilon": 1e-6,
        f"{name}.attention.key_length": HEAD,
        f"{name}.attention.value_length": HEAD,
        f"{name}.rope.freq_base": 10000.0,
    }
    if name == "llama":
        facts[f"{name}.rope.dimension_count"] = HEAD
    if name == "gemma3":
        facts[f"{name}.attention.sliding_window"] = 256
    if shape.experts:
        facts |= {f"{name}.expert_count": shape.experts, f"{name}.expert_used_count": 2}
    return facts | {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": StringArray.of(words),
        "tokenizer.ggml.scores": np.array(scores, np.float32),
        "tokenizer.ggml.token_type": np.array(kinds, np.int32),
        "tokenizer.ggml.bos_token_id": BEGIN,
        "tokenizer.ggml.eos_token_id": END,
        "tokenizer.ggml.unknown_token_id": UNKNOWN,
        "tokenizer.ggml.add_bos_token": True,
        "general.file_type": 1,
    }
