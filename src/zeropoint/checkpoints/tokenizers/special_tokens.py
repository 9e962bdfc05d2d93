"""Finds the tokens that begin and end the texts of a Hugging Face folder or end a generation.

tokenizer_config.json names them, config.json and generation_config.json have ids (often several
ends), and the post-processor of tokenizer.json decides which ones are really added.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeropoint.checkpoints.folder import CONFIG_BYTES, read_folder_json
from zeropoint.checkpoints.tokenizers.post_processor import read_post_processor
from zeropoint.checkpoints.tokenizers.token_rules import STOP_TEXTS
from zeropoint.checkpoints.values import UInt32
from zeropoint.errors import CheckpointError

Json = Mapping[str, object]

# Names in tokenizer_config.json and in GGUF, which spells "seperator" and has no key for "cls".
GGUF_NAMES = {"bos": "bos", "eos": "eos", "unk": "unknown", "sep": "seperator", "pad": "padding",
              "mask": "mask"}  # fmt: skip
TEMPLATE_NAMES = tuple(f"{name}_token" for name in (*GGUF_NAMES, "cls"))


@dataclass(frozen=True)
class SpecialTokens:
    """The special tokens of a folder."""

    ids: Mapping[str, int]  # by name in GGUF: "bos", "unknown", "eot"
    add_bos: bool | None  # None: the folder has no such token
    add_eos: bool | None
    further_stops: frozenset[int]  # further ends of a generation, without a GGUF key
    named: Mapping[str, str] | None  # names that templates use, if the ids do not give them

    def as_metadata(self) -> dict[str, object]:
        """Return the `tokenizer.ggml.*` keys."""
        metadata: dict[str, object] = {
            f"tokenizer.ggml.{name}_token_id": UInt32(index) for name, index in self.ids.items()
        }
        for key, value in (("add_bos_token", self.add_bos), ("add_eos_token", self.add_eos)):
            if value is not None:
                metadata[f"tokenizer.ggml.{key}"] = value
        return metadata


def read_special_tokens(
    folder: Path, settings: Json, data: Json, tokens: Sequence[str]
) -> SpecialTokens:
    """Return the special tokens; `settings` is tokenizer_config.json, `data` tokenizer.json.

    Raises CheckpointError for invalid ids, UnsupportedModel for a post-processor that adds
    what GGUF has no room for.
    """
    index_of = {text: index for index, text in enumerate(tokens)}
    named = read_names(settings)
    config = _read_config(folder, "config.json")
    generation = _read_config(folder, "generation_config.json")
    ids: dict[str, int] = {}
    for name, ours in GGUF_NAMES.items():
        index = index_of.get(named.get(f"{name}_token", ""))
        listed = [] if index is not None else _listed(folder, config, f"{name}_token_id", tokens)
        if index is not None or listed:
            ids[ours] = listed[0] if index is None else index
    ends = [ids["eos"]] if "eos" in ids else []
    for source in (config, generation):
        ends += _listed(folder, source, "eos_token_id", tokens)
    added = read_post_processor(folder / "tokenizer.json", data.get("post_processor"))
    for key, index in (("bos", added.first), ("eos", added.last)):
        if index is not None:
            if index >= len(tokens):
                reason = f"the post-processor adds token {index}, and there are {len(tokens)}"
                raise CheckpointError(folder / "tokenizer.json", reason)
            ids[key] = index
    if ends:
        ids.setdefault("eos", ends[0])
    # llama.cpp recognizes many ends by their text. Two more keys exist for others.
    further = [i for i in dict.fromkeys(ends) if i != ids["eos"] and tokens[i] not in STOP_TEXTS]
    ids |= dict(zip(("eot", "eom"), further, strict=False))
    from_ids = {name: tokens[ids[ours]] for name, ours in _pairs() if ours in ids}
    return SpecialTokens(
        ids=ids,
        add_bos=_adds(added.decides, added.first, settings, "bos", ids),
        add_eos=_adds(added.decides, added.last, settings, "eos", ids),
        further_stops=frozenset(further[2:]),
        named=None if named.items() <= from_ids.items() else named,
    )


def read_names(settings: Json) -> dict[str, str]:
    """Return the special tokens that tokenizer_config.json names, as chat templates see them.

    Those of every tokenizer ("bos_token") and those of one model ("image_token").
    """
    names: dict[str, str] = {}
    more = settings.get("extra_special_tokens")
    for source in (settings, more if isinstance(more, dict) else {}):
        for name, token in source.items():
            text = token.get("content") if isinstance(token, dict) else token
            ours = name in TEMPLATE_NAMES or name.endswith("_token") or source is more
            if ours and isinstance(text, str):
                names[name] = text
    return names


def _pairs() -> list[tuple[str, str]]:
    return [(f"{name}_token", ours) for name, ours in GGUF_NAMES.items()]


def _read_config(folder: Path, name: str) -> Json:
    """Return a configuration, that of a text model inside of it merged in."""
    data = read_folder_json(folder, name, CONFIG_BYTES)
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise CheckpointError(folder / name, "is not an object")
    text = data.get("text_config")
    return {**data, **text} if isinstance(text, dict) else data


def _listed(folder: Path, config: Json, key: str, tokens: Sequence[str]) -> list[int]:
    """Return the ids of a key that holds one id or several. Ids that no token has are left out."""
    value = config.get(key)
    values = value if isinstance(value, list) else [] if value is None else [value]
    ids = [index for index in values if type(index) is int]
    if len(ids) < len(values):
        raise CheckpointError(
            folder, f"must be a token id or a list of them, not {str(value)[:40]}", field=key
        )
    return [index for index in ids if 0 <= index < len(tokens)]


def _adds(
    decides: bool, added: int | None, settings: Json, name: str, ids: Mapping[str, int]
) -> bool | None:
    """Return whether a token is added to texts: the post-processor decides, if there is one.

    As in transformers 5 and gguf-py, tokenizer_config.json is used only without one.
    """
    setting = settings.get(f"add_{name}_token")
    default = (
        False if name == "bos" else None
    )  # the meaning of a missing key in GGUF differs for BOS
    if name not in ids:
        return None
    if decides:
        return added is not None or (default if setting is None else False)
    return setting if isinstance(setting, bool) else default
