"""Which tensors of a multimodal model are its parts for images and audio.

zeropoint uses the language model of such a file or folder, and prints one line about it.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from zeropoint.errors import printable

#: Starts of names in GGUF files, and components of names in Hugging Face folders.
_PARTS = re.compile(
    r"^(?:v|a|mm)\."
    r"|(?:^|\.)(?:vision_tower|vision_model|vision_encoder|vision_embed\w*|visual|audio_tower"
    r"|audio_model|audio_encoder|multi_modal_projector|embed_vision|embed_audio)\."
)


def is_image_or_audio(name: str) -> bool:
    """Return whether a tensor belongs to an encoder or projector of images or audio.

    >>> is_image_or_audio("v.blk.0.attn_q.weight"), is_image_or_audio("blk.0.attn_v.weight")
    (True, False)
    """
    return _PARTS.search(name) is not None


def text_part_note(path: Path, tensors: Iterable[str]) -> str:
    """Return the line that says which part of a multimodal model is used; "" for other models."""
    count = sum(map(is_image_or_audio, tensors))
    if not count:
        return ""
    noun = "tensor" if count == 1 else "tensors"
    return (
        f"{printable(str(path), 140)}: its language model is used, without the {count} {noun} for "
        "images and audio"
    )
