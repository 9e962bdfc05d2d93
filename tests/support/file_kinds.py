"""Files that are not language models, one builder for each kind, for tests of every verb.

for name, kind in KINDS.items():
    path = kind.make(folder)        # works: the uses that work; says: a word of every refusal
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from support import hf_folders
from support.tiny_models import write_model
from zeropoint.checkpoints import NewTensor, StringArray, create_checkpoint, open_checkpoint
from zeropoint.formats import FORMATS, find_format

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 123456789\n"
Shapes = dict[str, tuple[int, ...]]
LORA: Shapes = {"blk.0.attn_q.weight.lora_a": (8, 64), "blk.0.attn_q.weight.lora_b": (64, 8)}
BERT: Shapes = {"token_embd.weight": (32, 64), "blk.0.ffn_up.weight": (128, 64)}


@dataclass(frozen=True)
class Kind:
    """A kind of file."""

    name: str  # as `inspect --json` names it; "" where nothing can open it
    says: str  # occurs in every refusal
    make: Callable[[Path], Path]
    works: frozenset[str] = frozenset(("inspect",))


def gguf(folder: Path, shapes: Shapes, **facts: object) -> Path:
    """Write a GGUF file of ones; `__` in a key stands for a dot."""
    tensors = [NewTensor(name, shape, FORMATS["F32"]) for name, shape in shapes.items()]
    keys = {key.replace("__", "."): value for key, value in facts.items()}
    path = folder / "file.gguf"
    with create_checkpoint(path, tensors, keys) as writer:
        for name, shape in shapes.items():
            writer.write(name, np.ones(int(np.prod(shape)), "<f4").view(np.uint8))
    return path


def model_with(folder: Path, **facts: object) -> Path:
    """Write a language model with further keys."""
    whole = open_checkpoint(write_model(folder / "whole.gguf", columns=64))
    keys = dict(whole.metadata) | {key.replace("__", "."): value for key, value in facts.items()}
    infos = list(whole.tensors.values())
    path = folder / "file.gguf"
    tensors = [NewTensor(info.name, info.shape, info.format) for info in infos]
    with create_checkpoint(path, tensors, keys) as writer:
        for info in infos:
            writer.write(info.name, whole.read(info.name))
    return path


def safetensors(path: Path, shapes: Shapes, format: str = "F32") -> None:
    """Write a safetensors file of zeros."""
    kind = find_format(format)
    tensors = [NewTensor(name, shape, kind) for name, shape in shapes.items()]
    with create_checkpoint(path, tensors, {}) as writer:
        for name, shape in shapes.items():
            size = int(np.prod(shape)) // kind.block_size * kind.block_bytes
            writer.write(name, np.zeros(size, np.uint8))


def peft(folder: Path) -> Path:
    """Write a folder as PEFT does."""
    side = {"peft_type": "LORA", "base_model_name_or_path": "org/base", "r": 8}
    (folder / "adapter_config.json").write_text(json.dumps(side))
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    safetensors(
        folder / "adapter_model.safetensors",
        {f"{name}A.weight": (8, 64), f"{name}B.weight": (64, 8)},
    )
    return folder


def quantized(settings: object, key: str = "quantization_config", ending: str = "weight") -> Kind:
    """Return the kind of a folder whose config.json holds these settings."""

    def make(folder: Path) -> Path:
        made = hf_folders.make_folder("qwen2", folder / "model")
        config = json.loads((made / "config.json").read_text())
        config |= {key: settings} if settings else {}
        (made / "config.json").write_text(json.dumps(config))
        (made / "model.safetensors").unlink()
        shapes: Shapes = {f"model.layers.0.mlp.up_proj.{end}": (64, 8) for end in ending.split()}
        safetensors(made / "model.safetensors", shapes, "I32")
        return made

    words = settings if isinstance(settings, dict) else {}
    says = str(words.get("quant_method") or ("mlx" if "group_size" in words else "gptq or awq"))
    return Kind("quantized-folder", says, make, frozenset(("inspect", "plan")))


def encoder_folder(folder: Path) -> Path:
    """Write a folder of BERT's."""
    config = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 1, "vocab_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    safetensors(folder / "model.safetensors", {"embeddings.word_embeddings.weight": (32, 64)})
    return folder


def pooled_folder(folder: Path) -> Path:
    """Write a decoder with sentence-transformers' files beside it."""
    made = hf_folders.make_folder("qwen3", folder / "model")
    step = {"idx": 1, "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}
    (made / "modules.json").write_text(json.dumps([step]))
    (made / "1_Pooling").mkdir()
    (made / "1_Pooling" / "config.json").write_text('{"pooling_mode_lasttoken": true}')
    return made


def pointer(folder: Path, name: str = "file.gguf") -> Path:
    """Write what Git leaves in the place of a large file."""
    (folder / name).write_bytes(LFS)
    return folder / name


def pointer_folder(folder: Path) -> Path:
    """Write a model folder whose weights were not downloaded."""
    made = hf_folders.make_folder("qwen2", folder / "model")
    return pointer(made, "model.safetensors").parent


TOKENS = {
    "tokenizer__ggml__model": "llama",
    "tokenizer__ggml__tokens": StringArray.of(["<unk>", "a"]),
}
WEIGHTS = frozenset(("inspect", "quantize"))
POOLED = frozenset(("inspect", "quantize", "calibrate", "plan"))

KINDS: dict[str, Kind] = {
    "LoRA adapter": Kind("adapter", "adapter, not a model", lambda folder: gguf(
        folder, LORA, general__type="adapter", general__architecture="llama",
        adapter__type="lora")),
    "LoRA adapter without a type": Kind("adapter", "adapter, not a model", lambda folder: gguf(
        folder, LORA, general__architecture="llama")),
    "PEFT folder": Kind("adapter", "adapter, not a model", peft),
    "PEFT file": Kind("adapter", "adapter, not a model", lambda folder: (
        peft(folder) / "adapter_model.safetensors")),
    "imatrix": Kind("imatrix", "imatrix", lambda folder: gguf(
        folder, {"blk.0.attn_q.weight.in_sum2": (64,), "blk.0.attn_q.weight.counts": (1,)},
        general__type="imatrix", imatrix__datasets=StringArray.of(["t"]),
        imatrix__chunk_count=1, imatrix__chunk_size=16)),
    "projector": Kind("mmproj", "mmproj", lambda folder: gguf(
        folder, {"v.blk.0.attn_q.weight": (64, 64)}, general__type="mmproj",
        general__architecture="clip"), WEIGHTS),
    "older projector": Kind("mmproj", "mmproj", lambda folder: gguf(
        folder, {"v.blk.0.attn_q.weight": (64, 64)}, general__architecture="clip"), WEIGHTS),
    "control vector": Kind("control-vector", "control vector", lambda folder: gguf(
        folder, {"direction.1": (64,)}, general__architecture="controlvector")),
    "unknown type": Kind("other", "'vae'", lambda folder: gguf(
        folder, BERT, general__type="vae", general__architecture="x")),
    "encoder": Kind("encoder", "embedding model", lambda folder: gguf(
        folder, BERT, general__architecture="bert", bert__pooling_type=2), WEIGHTS),
    "decoder without causal attention": Kind("encoder", "embedding model", lambda folder: (
        model_with(folder, llama__attention__causal=False, llama__pooling_type=1)), WEIGHTS),
    "pooled decoder": Kind("embedding", "embedding model", lambda folder: (
        model_with(folder, llama__pooling_type=3)), POOLED),
    "pooled decoder in a folder": Kind("embedding", "embedding model", pooled_folder, POOLED),
    "encoder in a folder": Kind("encoder", "embedding model", encoder_folder),
    "vocabulary": Kind("vocabulary", "vocabulary without weights", lambda folder: gguf(
        folder, {}, general__architecture="llama", **TOKENS)),
    "GPTQ folder": quantized({"quant_method": "gptq", "bits": 4}, ending="qweight qzeros"),
    "AWQ folder": quantized({"quant_method": "awq", "bits": 4}),
    "bitsandbytes folder": quantized({"quant_method": "bitsandbytes", "load_in_4bit": True}),
    "compressed-tensors folder": quantized({"quant_method": "compressed-tensors"}),
    "FP8 folder": quantized({"quant_method": "fp8", "fmt": "e4m3"}),
    "MXFP4 folder": quantized({"quant_method": "mxfp4"}),
    "folder of a method nobody knows": quantized({"quant_method": "new-method"}),
    "MLX folder": quantized({"group_size": 64, "bits": 4}, "quantization"),
    "quantized folder that does not say so": quantized(None, ending="qweight qzeros"),
    "Git LFS pointer": Kind("", "git lfs pull", pointer, frozenset()),
    "folder with a Git LFS pointer": Kind("", "git lfs pull", pointer_folder, frozenset()),
}  # fmt: skip
