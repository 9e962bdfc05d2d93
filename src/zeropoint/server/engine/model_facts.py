"""What the server reports about its model."""

from math import prod
from typing import Any

from zeropoint.checkpoints.tokenizers.chat_templates import TEMPLATE_KEY
from zeropoint.models import LanguageModel


def describe_model(model: LanguageModel, name: str) -> dict[str, Any]:
    """Return name, sizes and chat template of a model; `name` is its file's, without folders."""
    checkpoint, vocabulary = model.checkpoint, model.tokenizer.vocabulary
    template = checkpoint.metadata.get(TEMPLATE_KEY)
    tensors = checkpoint.tensors.values()
    file = checkpoint.path
    return {
        "name": name,
        "n_ctx_train": model.context_length,
        "n_vocab": model.vocab_size,
        "n_embd": model.architecture.width,
        "n_params": sum(prod(tensor.shape) for tensor in tensors),
        "size": file.stat().st_size if file.is_file() else 0,
        "chat_template": template if isinstance(template, str) else "",
        "bos_token": _text(vocabulary.tokens, vocabulary.bos),
        "eos_token": _text(vocabulary.tokens, vocabulary.eos),
    }


def _text(tokens: list[str], index: int | None) -> str:
    return "" if index is None else tokens[index]
