"""The tokens with which a model fills the gap between a prefix and a suffix."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from zeropoint.models.vocabulary import Vocabulary

# Texts by which such a token is known in files without its key; those that llama.cpp knows too.
_TEXTS = {
    "fim_pre": "<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE>"
    " <|code_prefix|>",
    "fim_suf": "<|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF>"
    " <|code_suffix|>",
    "fim_mid": "<|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID>"
    " <|code_middle|>",
    "fim_rep": "<|fim_repo|> <|repo_name|> <fim-repo> <REPO> <reponame>",
    "fim_sep": "<|file_sep|>",
}
_NEEDED = {"fim_pre", "fim_suf", "fim_mid"}


def read_infill_tokens(
    metadata: Mapping[str, Any], vocabulary: Vocabulary
) -> dict[str, int] | None:
    """Return token ids by name: fim_pre, fim_suf, fim_mid, and perhaps fim_rep and fim_sep.

    The keys `tokenizer.ggml.fim_*_token_id` come first, then the texts of the tokens. None if one
    of the first three is missing.
    """
    found: dict[str, int] = {}
    for name, texts in _TEXTS.items():
        value = metadata.get(f"tokenizer.ggml.{name}_token_id")
        if isinstance(value, int | np.integer) and 0 <= value < len(vocabulary):
            found[name] = int(value)
            continue
        known = next((text for text in texts.split() if text in vocabulary.ids), None)
        if known is not None:
            found[name] = vocabulary.ids[known]
    return found if set(found) >= _NEEDED else None
