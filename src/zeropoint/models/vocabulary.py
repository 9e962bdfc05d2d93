"""A file's vocabulary: tokens, what kind each is, which of them begin, end and stop a text."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from zeropoint.checkpoints import Checkpoint
from zeropoint.errors import CheckpointError, UnsupportedModel

Scalar = TypeVar("Scalar", bound=np.generic)


class Kind(IntEnum):
    """What `tokenizer.ggml.token_type` says of a token."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3  # not text: parsed in chat text only
    USER_DEFINED = 4  # text that is always one token
    UNUSED = 5
    BYTE = 6  # "<0x0A>": stands for one byte


@dataclass(frozen=True)
class Vocabulary:
    """The `tokenizer.ggml.*` keys of a file, checked."""

    model: str  # "gpt2": byte pairs by rank; "llama": pieces by score
    pre: str
    tokens: list[str]
    ids: dict[str, int]  # of each text; the last one where two tokens have the same
    kinds: NDArray[np.int32]
    scores: NDArray[np.float32] | None
    merges: Sequence[str] | None
    bos: int | None
    eos: int | None
    add_bos: bool | None  # None: the file does not say
    add_eos: bool
    add_space_prefix: bool | None
    stops: frozenset[int]  # tokens that end a generation
    unknown: int | None = None
    pad: int | None = None

    def __len__(self) -> int:
        return len(self.tokens)


# Tokens that end a turn or a text whatever the keys say. As ggml, which knows them by their text.
_STOP_TEXTS = frozenset(
    """<|eot_id|> <|im_end|> <|end|> <|return|> <|call|> <|flush|> <|calls|> <end_of_turn>
    <|endoftext|> </s> <|eom_id|> <EOT> _<EOT> [EOT] [EOS] <|end_of_text|> <end_of_utterance>
    <eos> <｜end▁of▁sentence｜> [e~[ <|fim_pad|> <fim-pad> <fim_pad> <PAD> <|fim_repo|>
    <|repo_name|> <fim-repo> <REPO> <reponame> <|file_sep|>""".split()
)
_CONTROL_TEXTS = _STOP_TEXTS | frozenset(
    """<|fim_prefix|> <fim-prefix> <fim_prefix> <｜fim▁begin｜> <PRE> ▁<PRE> <|code_prefix|>
    <|prefix|> <|fim_suffix|> <fim-suffix> <fim_suffix> <｜fim▁hole｜> <SUF> ▁<SUF> <|code_suffix|>
    <|suffix|> <|fim_middle|> <fim-middle> <fim_middle> <｜fim▁end｜> <MID> ▁<MID> <|code_middle|>
    <|middle|>""".split()
)
_STOP_KEYS = ("eos", "eot", "eom", "fim_pad", "fim_rep", "fim_sep")


def read_vocabulary(checkpoint: Checkpoint) -> Vocabulary:
    """Read and check a file's vocabulary. Raises CheckpointError or UnsupportedModel."""
    metadata = checkpoint.metadata
    model = metadata.get("tokenizer.ggml.model")
    if not isinstance(model, str) or model not in ("gpt2", "llama"):
        raise UnsupportedModel(f"{checkpoint.path}: tokenizer {model!r} is not known here")
    tokens = _strings(checkpoint, "tokenizer.ggml.tokens")
    if tokens is None:
        raise CheckpointError(checkpoint.path, "this key is missing", field="tokenizer.ggml.tokens")
    tokens = list(tokens)
    size = len(tokens)
    texts = {text: index for index, text in enumerate(tokens)}
    kinds = _numbers(checkpoint, "tokenizer.ggml.token_type", np.dtype(np.int32), size)
    if kinds is None:
        kinds = np.full(size, Kind.NORMAL, np.int32)
    # As ggml: these are control tokens even where the file calls them text.
    kinds[[texts[text] for text in _CONTROL_TEXTS if text in texts]] = Kind.CONTROL
    ids = {key: _token_id(checkpoint, key, size) for key in (*_STOP_KEYS, "bos", "unknown")}
    ids["pad"] = _token_id(checkpoint, "padding", size)
    stops = {ids[key] for key in _STOP_KEYS if ids[key] is not None}
    stops |= {texts[text] for text in _STOP_TEXTS if text in texts}
    return Vocabulary(
        model=str(model),
        pre=str(metadata.get("tokenizer.ggml.pre", "default")),
        tokens=tokens,
        ids=texts,
        kinds=kinds,
        scores=_numbers(checkpoint, "tokenizer.ggml.scores", np.dtype(np.float32), size),
        merges=_strings(checkpoint, "tokenizer.ggml.merges"),
        bos=ids["bos"],
        eos=ids["eos"],
        add_bos=_flag(checkpoint, "tokenizer.ggml.add_bos_token"),
        add_eos=bool(_flag(checkpoint, "tokenizer.ggml.add_eos_token")),
        add_space_prefix=_flag(checkpoint, "tokenizer.ggml.add_space_prefix"),
        stops=frozenset(index for index in stops if index is not None),
        unknown=ids["unknown"],
        pad=ids["pad"],
    )


def _strings(checkpoint: Checkpoint, key: str) -> Sequence[str] | None:
    value = checkpoint.metadata.get(key)
    if value is None:
        return None
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise CheckpointError(checkpoint.path, "expected an array of texts", field=key)
    return value


def _numbers(
    checkpoint: Checkpoint, key: str, dtype: "np.dtype[Scalar]", size: int
) -> "NDArray[Scalar] | None":
    value = checkpoint.metadata.get(key)
    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim != 1 or array.dtype.kind not in "iuf" or array.size != size:
        raise CheckpointError(checkpoint.path, f"expected {size} numbers", field=key)
    return array.astype(dtype)


def _token_id(checkpoint: Checkpoint, name: str, size: int) -> int | None:
    key = f"tokenizer.ggml.{name}_token_id"
    value = checkpoint.metadata.get(key)
    if not isinstance(value, int | np.integer) or not 0 <= value < size:
        return None  # As ggml: files exist that say -1, or name a token they do not have.
    return int(value)


def _flag(checkpoint: Checkpoint, key: str) -> bool | None:
    value = checkpoint.metadata.get(key)
    if value is not None and not isinstance(value, bool | int | np.bool_ | np.integer):
        raise CheckpointError(checkpoint.path, "expected true or false", field=key)
    return None if value is None else bool(value)
