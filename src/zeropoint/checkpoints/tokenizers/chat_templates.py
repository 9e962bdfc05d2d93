"""Reads the chat templates of a Hugging Face folder as GGUF keys.

A folder may keep them in four places. As in transformers 5.23, Jinja files have priority over
tokenizer_config.json; chat_template.json, which older processors wrote, comes last:

    chat_template.jinja                    the default template
    additional_chat_templates/NAME.jinja   templates with a name
    tokenizer_config.json: chat_template   one text, or a list of {"name", "template"}
    chat_template.json: chat_template      the same
"""

import string
from collections.abc import Mapping
from pathlib import Path

from zeropoint.checkpoints.folder import find_in_folder, read_folder_json, read_folder_text
from zeropoint.checkpoints.values import StringArray
from zeropoint.errors import CheckpointError, printable

TEMPLATE_KEY = "tokenizer.chat_template"  # the default; named ones are TEMPLATE_KEY.NAME
NAMES_KEY = "tokenizer.chat_templates"
TEMPLATE_BYTES = 8 << 20
MAX_TEMPLATES = 64
TEMPLATE_DIRECTORY = "additional_chat_templates"
_DEFAULT = "default"
_NAME_CHARACTERS = string.ascii_letters + string.digits


def read_chat_templates(folder: Path, settings: Mapping[str, object]) -> dict[str, object]:
    """Return the `tokenizer.chat_template*` keys of a folder; `settings` is tokenizer_config.json.

    Characters of a name that are neither letters nor digits become "_", as gguf-py writes them.
    Raises CheckpointError for a file that cannot be read, or a value that is not a template.
    """
    keys: dict[str, object] = {}
    names: list[str] = []
    for name, template in sorted(_find_templates(folder, settings).items()):
        if name == _DEFAULT:
            keys[TEMPLATE_KEY] = template
            continue
        plain = "".join(c if c in _NAME_CHARACTERS else "_" for c in name)
        if plain in names:
            reason = f"two chat templates would both be named '{printable(plain)}'"
            raise CheckpointError(folder, reason)
        names.append(plain)
        keys[f"{TEMPLATE_KEY}.{plain}"] = template
    if names:
        keys[NAMES_KEY] = StringArray.of(names)
    return keys


def chat_template_setting(metadata: Mapping[str, object]) -> object:
    """Return the `chat_template` of tokenizer_config.json for these GGUF keys, or None."""
    default = metadata.get(TEMPLATE_KEY)
    named = metadata.get(NAMES_KEY)
    if not isinstance(named, StringArray | list):
        return default if isinstance(default, str) else None
    templates = {_DEFAULT: default} | {
        name: metadata.get(f"{TEMPLATE_KEY}.{name}") for name in named
    }
    return [{"name": n, "template": text} for n, text in templates.items() if isinstance(text, str)]


def _find_templates(folder: Path, settings: Mapping[str, object]) -> dict[str, str]:
    """Return every template by name; the chat's own is "default"."""
    templates = _read_files(folder)
    if templates:
        return templates
    value, source = settings.get("chat_template"), "tokenizer_config.json"
    if value is None:
        source = "chat_template.json"
        legacy = read_folder_json(folder, source, TEMPLATE_BYTES)
        if legacy is not None and not isinstance(legacy, dict):
            raise CheckpointError(folder / source, "is not an object")
        value = legacy.get("chat_template") if legacy else None
    return _named(folder / source, value)


def _read_files(folder: Path) -> dict[str, str]:
    names = {_DEFAULT: "chat_template.jinja"}
    directory = find_in_folder(folder, TEMPLATE_DIRECTORY)
    if directory is not None and directory.is_dir():
        files = sorted(path.name for path in directory.glob("*.jinja"))
        if len(files) > MAX_TEMPLATES:
            reason = f"has {len(files)} templates, over the limit of {MAX_TEMPLATES}"
            raise CheckpointError(directory, reason)
        names |= {name.removesuffix(".jinja"): f"{TEMPLATE_DIRECTORY}/{name}" for name in files}
    texts = {name: read_folder_text(folder, file, TEMPLATE_BYTES) for name, file in names.items()}
    # As in Python's text mode, which transformers and gguf-py use: every line ends with "\n".
    return {
        name: text.replace("\r\n", "\n").replace("\r", "\n")
        for name, text in texts.items()
        if text is not None
    }


def _named(path: Path, value: object) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, str):
        return {_DEFAULT: value}
    if isinstance(value, list):
        items = [entry if isinstance(entry, dict) else {} for entry in value]
        pairs = [(item.get("name"), item.get("template")) for item in items]
    elif isinstance(value, dict):
        pairs = list(value.items())
    else:
        pairs = [(None, None)]
    found: dict[str, str] = {}
    for name, template in pairs:
        if not isinstance(name, str) or not isinstance(template, str):
            reason = "is neither a text nor a list of names and templates"
            raise CheckpointError(path, reason, field="chat_template")
        found[name] = template
    return found
