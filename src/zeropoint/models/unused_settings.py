"""Checks the settings and tensors of a file that its layers do not use.

A key or a tensor that no code reads may change what a model computes. Everything in the file of a
supported family is therefore one of three:

- used: `read_architecture` reads the key, or gives the tensor a place in a layer;
- harmless: it is in a table of `settings.harmless_keys` (keys) or of this module (tensors), with
  the reason why logits do not depend on it;
- refused by name, by `check_settings`.

A key may be harmless for some of its values only: those that mean "this model has no such step".
llama.cpp's writer stores such values for every key that it supports.
"""

import re
from collections.abc import Collection, Mapping
from itertools import islice

from zeropoint.checkpoints.modalities import is_image_or_audio
from zeropoint.checkpoints.settings.harmless_keys import has_value_of, is_harmless_key
from zeropoint.checkpoints.typed_mapping import is_array
from zeropoint.errors import UnsupportedModel, printable
from zeropoint.models.header import ModelHeader

# Keys other than the architecture's describe the file or the tokenizer and do not change logits,
# with these exceptions.
REFUSED_NAMESPACES: Mapping[str, str] = {
    "adapter.": "the file is an adapter, not a whole model",
    "diffusion.": "the model writes by diffusion, not token after token",
    "xielu.": "the activation xIELU is not implemented",
}

HARMLESS_TENSORS: Mapping[str, str] = {
    r"(blk\.\d+\.\w+|output)\.input_scale": "it scales 8-bit inputs; ours are not rounded by it",
    r"blk\.\d+\.attn_rot_embd(\.weight)?": "old files store what rope.freq_base gives",
    r"blk\.\d+\.nextn\..*": "the draft head of multi-token prediction; logits do not use it",
}
_HARMLESS_TENSOR = re.compile("|".join(HARMLESS_TENSORS))
_LAYER = re.compile(r"blk\.(\d+)\.", re.ASCII)


def check_settings(header: ModelHeader, used: Collection[str], drafts: range) -> None:
    """Raise UnsupportedModel for a key that was not read, or a tensor that has no place.

    `used` are the names of the tensors that have a place. `drafts` are the layers for multi-token
    prediction, which do not run. Call it after everything else has been read.
    """
    path, name = header.checkpoint.path, header.architecture
    for key, value in header.checkpoint.metadata.items():
        short = key.removeprefix(f"{name}.")
        if short == key:
            reason = next((why for at, why in REFUSED_NAMESPACES.items() if key.startswith(at)), "")
            if reason and not has_value_of(value, (0,)):
                raise UnsupportedModel(f"{path}: {printable(key)} = {_shown(value)}: {reason}")
        elif not (short in header.read or is_harmless(header, short, value)):
            raise UnsupportedModel(
                f"{path}: the setting {printable(key)} = {_shown(value)} is not implemented for "
                f"{name} models, so the logits would be those of another model"
            )
    for tensor in header.checkpoint.tensors:
        if tensor not in used and not is_harmless_tensor(tensor, drafts):
            raise UnsupportedModel(
                f"{path}: the tensor {printable(tensor)} has no place in {name} models, so the "
                "logits would be those of another model"
            )


def is_harmless(header: ModelHeader, key: str, value: object) -> bool:
    """Return whether a key of the architecture, without its name, changes no logit."""
    return is_harmless_key(key, value, header.peek)


def is_harmless_tensor(name: str, drafts: range) -> bool:
    """Return whether logits do not depend on a tensor that has no place in the layers.

    Text does not pass through the encoders and projectors of images and audio.
    """
    layer = _LAYER.match(name)
    if layer and int(layer[1]) in drafts:
        return True
    return _HARMLESS_TENSOR.fullmatch(name) is not None or is_image_or_audio(name)


def _shown(value: object) -> str:
    """Return a value as a message shows it; of an array the first elements."""
    if is_array(value):
        first = [str(item) for item in islice(value, 4)]  # type: ignore[call-overload]
        more = ", …" if len(value) > 4 else ""  # type: ignore[arg-type]
        return printable(f"[{', '.join(first)}{more}]")
    return printable(str(value))
