"""Determines the kind of a file: not everything in a model's container is a language model.

The kind is recognized from the header alone (metadata, tensor names and types), whatever the name
of the file. Each kind lists the uses that work. Every other use is refused with what would work
instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from zeropoint.checkpoints.layout import TensorLike
from zeropoint.checkpoints.settings.quantization_method import find_quantization
from zeropoint.errors import UnsupportedModel, printable

Use = Literal[
    "inspect", "quantize", "calibrate", "plan", "run"
]  # run includes measure, bench and others

# Architectures of GGUF files and `model_type`s of folders that output a vector and not a token.
ENCODER_ARCHITECTURES = frozenset(
    "bert modern-bert nomic-bert nomic-bert-moe neo-bert jina-bert-v2 jina-bert-v3 eurobert"
    " gemma-embedding t5encoder llama-embed".split()
)
ENCODER_TYPES = frozenset(
    "albert bert camembert deberta deberta-v2 distilbert electra eurobert gte longformer modernbert"
    " mpnet neobert new nomic_bert roberta t5encoder xlm-roberta xlm-roberta-xl".split()
)
POOLING = {1: "mean", 2: "cls", 3: "last", 4: "rank"}  # llama.cpp's pooling_type; 0 is none


class HeaderLike(Protocol):
    """Input whose kind is recognized: a `Checkpoint`, or the headers of a model on the hub."""

    @property
    def metadata(self) -> Mapping[str, object]: ...
    @property
    def tensors(self) -> Mapping[str, TensorLike]: ...


@dataclass(frozen=True)
class FileKind:
    """A kind of file."""

    name: str  # for programs, such as "adapter"
    described: str  # "a LoRA adapter, not a model"
    advice: str = ""  # what would work instead
    uses: frozenset[Use] = frozenset(("inspect",))


WITH_WEIGHTS: frozenset[Use] = frozenset(("inspect", "quantize"))
MODEL = FileKind(
    "model", "a model", uses=frozenset(("inspect", "quantize", "calibrate", "plan", "run"))
)


def check_use(path: Path | str, opened: HeaderLike, use: Use) -> None:
    """Raise UnsupportedModel if `opened` is of a kind that does not support this use."""
    kind = find_file_kind(opened)
    if use not in kind.uses:
        raise UnsupportedModel(f"{path} is {kind.described}; {kind.advice}")


def find_file_kind(opened: HeaderLike) -> FileKind:
    """Return the kind of an opened file or folder, from its header."""
    metadata, tensors = opened.metadata, opened.tensors
    return (
        _find_adapter(metadata, tensors)
        or _find_by_type(metadata, tensors)
        or _find_embedder(metadata)
        or _find_vocabulary(metadata, tensors)
        or _find_quantized(metadata, tensors)
        or MODEL
    )


def _find_adapter(
    metadata: Mapping[str, object], tensors: Mapping[str, TensorLike]
) -> FileKind | None:
    method = metadata.get("adapter.type", metadata.get("peft_type"))
    named = _is(metadata.get("general.type"), "adapter")
    factors = sum(name.lower().endswith(_LORA) for name in tensors)
    if not (named or "peft_type" in metadata or (tensors and 2 * factors > len(tensors))):
        return None
    words = {"lora": "LoRA", "ia3": "IA3"}
    method = method if isinstance(method, str) and method else "lora" if factors else ""
    method = words.get(method.lower(), printable(method, 24)) + " " if method else ""
    base = _text(metadata, "general.base_model.0.name", "base_model_name_or_path",
                 "general.architecture")  # fmt: skip
    advice = f"merge it into its base model{f' ({printable(base)})' if base else ''} first"
    article = "an" if method[:1] in ("A", "I", "O", "a", "i", "o", "") else "a"
    return FileKind("adapter", f"{article} {method}adapter, not a model", advice)


_LORA = (".lora_a", ".lora_b", ".lora_a.weight", ".lora_b.weight", ".lora_embedding_a",
         ".lora_embedding_b", ".lora_a.default.weight", ".lora_b.default.weight")  # fmt: skip


def _find_by_type(
    metadata: Mapping[str, object], tensors: Mapping[str, TensorLike]
) -> FileKind | None:
    declared = metadata.get("general.type")
    architecture = metadata.get("general.architecture")
    sums = bool(tensors) and all(name.endswith((".in_sum2", ".counts")) for name in tensors)
    if _is(declared, "imatrix") or (declared is None and architecture is None and sums):
        advice = "give it to `zeropoint quantize` with --imatrix"
        return FileKind("imatrix", "an importance matrix (imatrix), not a model", advice)
    if _is(declared, "mmproj") or _is(architecture, "clip"):
        return FileKind(
            "mmproj",
            "a projector of images or sound (mmproj), not a language model",
            "inspect and quantize work; for the other verbs name the model that it belongs to",
            WITH_WEIGHTS,
        )
    if _is(architecture, "controlvector"):
        advice = "llama.cpp adds it to a model with --control-vector"
        return FileKind("control-vector", "a control vector, not a model", advice)
    if isinstance(declared, str) and declared != "model":
        described = f"of general.type '{printable(declared, 24)}', not a model"
        return FileKind("other", described, "inspect shows what is in it")
    return None


def _find_embedder(metadata: Mapping[str, object]) -> FileKind | None:
    architecture = _text(metadata, "general.architecture")
    pooling = metadata.get(f"{architecture}.pooling_type")
    pooled = POOLING.get(pooling) if isinstance(pooling, int) else None
    causal = metadata.get(f"{architecture}.attention.causal", True)
    model_type = _text(metadata, "model_type")
    if model_type in ENCODER_TYPES:
        described = f"an embedding model ({model_type}), not a language model"
        return FileKind("encoder", described, "llama.cpp's converter makes a GGUF file of it")
    advice = "it has no next token to predict; inspect and quantize work"
    if architecture in ENCODER_ARCHITECTURES:
        described = f"an embedding model ({architecture}), not a language model"
        return FileKind("encoder", described, advice, WITH_WEIGHTS)
    if causal is False and pooled:
        described = f"an embedding model ({architecture}.attention.causal is false)"
        return FileKind("encoder", f"{described}, not a language model", advice, WITH_WEIGHTS)
    if pooled:
        return FileKind(
            "embedding",
            f"an embedding model ({architecture}.pooling_type is {pooling}, {pooled}),"
            " not a language model",
            "inspect, quantize, calibrate and plan work",
            MODEL.uses - {"run"},
        )
    return None


def _find_vocabulary(
    metadata: Mapping[str, object], tensors: Mapping[str, TensorLike]
) -> FileKind | None:
    if tensors or not any(key.startswith("tokenizer.") for key in metadata):
        return None
    advice = "inspect shows it; for the other verbs name a file with weights"
    return FileKind("vocabulary", "a vocabulary without weights, not a model", advice)


def _find_quantized(
    metadata: Mapping[str, object], tensors: Mapping[str, TensorLike]
) -> FileKind | None:
    if "general.architecture" in metadata:
        return None
    method = find_quantization(metadata, tensors)
    if method is None:
        return None
    return FileKind(
        "quantized-folder",
        f"quantized ({method})",
        "only weights of 16 or 32 bits can be converted, so name the folder that it was made from;"
        " inspect and plan work",
        frozenset(("inspect", "plan")),
    )


def _text(metadata: Mapping[str, object], *keys: str) -> str:
    """Return the first of these keys that is a text, or ""."""
    return next((text for key in keys if isinstance(text := metadata.get(key), str) and text), "")


def _is(value: object, text: str) -> bool:
    """Compare a value of the metadata, which may be an array, with a text."""
    return isinstance(value, str) and value == text
