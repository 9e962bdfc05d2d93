"""Turns a conversation into the text that a model was trained to continue.

The file's chat template is a program in Jinja; it runs in a child process (`template_child`), and
only for a chat or for built-in dialogues: inspecting and quantizing never render it.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.tokenizers.chat_templates import NAMES_KEY, TEMPLATE_KEY
from zeropoint.child import NoAnswerError, ask
from zeropoint.errors import MissingPackage, UnsupportedModel, printable
from zeropoint.models.literal_text import ControlTexts, restore
from zeropoint.models.tokenizer import Tokenizer

Message = Mapping[str, str]  # "role": system, user or assistant; "content"

_MESSAGE_PLACEHOLDER = "(the message goes here)"
MEGABYTES, CPU_SECONDS, SECONDS = 512, 5, 15
# For files that have control tokens for turns, but no template that uses them.
_TURNS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("<|im_start|>", "<|im_start|>{role}\n{content}<|im_end|>\n", "<|im_start|>assistant\n", {}),
    (
        "<start_of_turn>",
        "<start_of_turn>{role}\n{content}<end_of_turn>\n",
        "<start_of_turn>model\n",
        {"assistant": "model", "system": "user"},
    ),
    (
        "<|start_header_id|>",
        "<|start_header_id|>{role}<|end_header_id|>\n\n{content}<|eot_id|>",
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        {},
    ),
    ("<|user|>", "<|{role}|>\n{content}<|end|>\n", "<|assistant|>\n", {}),
)


def has_template(checkpoint: Checkpoint) -> bool:
    """Return whether the file has a chat template."""
    return isinstance(checkpoint.metadata.get(TEMPLATE_KEY), str)


def _read_template(checkpoint: Checkpoint) -> str | None:
    """Return the default template, or None. Raises UnsupportedModel if all have other names."""
    template, names = checkpoint.metadata.get(TEMPLATE_KEY), checkpoint.metadata.get(NAMES_KEY)
    if isinstance(template, str):
        return template
    if isinstance(names, Sequence) and names:
        shown = ", ".join(printable(str(name)) for name in names[:4])
        raise UnsupportedModel(
            f"{checkpoint.path}: has no default chat template, only {shown}; use --no-chat"
            " (in Python chat=False)"
        )
    return None


def encode_chat(
    checkpoint: Checkpoint, tokenizer: Tokenizer, messages: Sequence[Message]
) -> list[int]:
    """Return the tokens of a conversation, up to the start of the assistant's next message.

    Control tokens in the messages are ordinary text; only those that the template writes are
    special. Raises UnsupportedModel if the template fails or there is no way to chat with this
    file.
    """
    return render_chat(checkpoint, tokenizer, messages).encode(tokenizer)


@dataclass(frozen=True)
class RenderedChat:
    """A conversation as the template writes it, with marks in place of the users' control texts."""

    marked: str
    literals: Mapping[str, str]

    @property
    def text(self) -> str:
        """The text without marks."""
        return restore(self.marked, self.literals)

    def encode(self, tokenizer: Tokenizer) -> list[int]:
        """Return its tokens, with BOS if texts begin with it."""
        return _encode(tokenizer, self.marked, self.literals)


def render_chat(
    checkpoint: Checkpoint,
    tokenizer: Tokenizer,
    messages: Sequence[Mapping[str, Any]],
    more: Mapping[str, object] | None = None,
) -> RenderedChat:
    """Render a conversation; `more` are further variables of the template, such as `tools`.

    Raises UnsupportedModel as `encode_chat` does.
    """
    control = ControlTexts(tokenizer.vocabulary)
    template, source = _read_template(checkpoint), str(checkpoint.path)
    messages, more = control.hide([list(messages), dict(more or {})])
    if template is not None:
        values = {**variables(tokenizer, messages), **more}
        text = render(template, values, source=source)
    else:
        text = fallback(tokenizer, messages, source=source)
    return RenderedChat(text, control.literals)


def encode_messages(
    checkpoint: Checkpoint, tokenizer: Tokenizer, texts: Sequence[str]
) -> list[list[int]]:
    """Return the tokens of several conversations, each of one message of a user.

    The template runs once, with a mark where the message goes, and for every message only where it
    does not leave the mark as it is. Raises UnsupportedModel as `encode_chat` does.
    """
    template = _read_template(checkpoint)
    source = str(checkpoint.path)

    def write(text: str) -> str:
        messages = [{"role": "user", "content": text}]
        if template is not None:
            return render(template, variables(tokenizer, messages), source=source)
        return fallback(tokenizer, messages, source=source)

    control = ControlTexts(tokenizer.vocabulary)
    hidden = control.hide(list(texts))
    frame = write(_MESSAGE_PLACEHOLDER)
    if frame.count(_MESSAGE_PLACEHOLDER) == 1:
        written = [frame.replace(_MESSAGE_PLACEHOLDER, text) for text in hidden]
    else:
        written = [write(text) for text in hidden]
    return [_encode(tokenizer, text, control.literals) for text in written]


def _encode(tokenizer: Tokenizer, text: str, literals: Mapping[str, str]) -> list[int]:
    ids = tokenizer.encode(text, special=True, literals=literals)
    bos = tokenizer.vocabulary.bos
    if tokenizer.adds_bos and bos is not None and ids[:1] != [bos]:
        ids.insert(0, bos)
    return ids


def variables(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> dict[str, object]:
    """Return what a template may use: the messages, and the special tokens that the model names."""
    spoken = [dict(message) for message in messages]
    named = tokenizer.vocabulary.special_tokens
    return {**named, "messages": spoken, "add_generation_prompt": True}


def render_messages(
    checkpoint: Checkpoint, tokenizer: Tokenizer, conversations: Sequence[Mapping[str, object]]
) -> list[str]:
    """Return whole conversations as the file's template writes them, without a next message.

    A conversation has `messages`, as transformers' templates take them, and may have `tools`. All
    are rendered in one child process. Raises UnsupportedModel if there is no template, or if one
    of them cannot be rendered.
    """
    source = str(checkpoint.path)
    template = _read_template(checkpoint)
    if template is None:
        raise UnsupportedModel(f"{source}: has no chat template")
    named = tokenizer.vocabulary.special_tokens
    return render_all(template, [{**named, **values} for values in conversations], source=source)


def render(template: str, variables: Mapping[str, object], *, source: str = "this file") -> str:
    """Render a chat template in a child process; `tools` and `documents` are none unless given.

    Raises UnsupportedModel if that fails.
    """
    return render_all(template, [variables], source=source)[0]


def render_all(
    template: str, variables: Sequence[Mapping[str, object]], *, source: str = "this file"
) -> list[str]:
    """Render a chat template once for each set of variables, in one child process.

    Raises UnsupportedModel if any of them fails, and MissingPackage without `jinja2`.
    """
    if find_spec("jinja2") is None:
        raise MissingPackage("a chat template", "jinja2")
    job = {
        "template": template,
        "variables": [dict(values) for values in variables],
        "megabytes": MEGABYTES,
        "seconds": CPU_SECONDS,
    }
    child = Path(__file__).with_name("template_child.py")
    try:
        answer = ask([sys.executable, "-I", str(child)], job, timeout_seconds=SECONDS)
    except NoAnswerError as error:
        limit = f"it took longer than {CPU_SECONDS} s of processor time"
        raise _failed(source, limit if error.signal_number else str(error)) from None
    if "texts" not in answer:
        raise _failed(source, str(answer.get("error")))
    return [str(text) for text in answer["texts"]]


def fallback(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]], *, source: str) -> str:
    """Write a conversation with the control tokens that this vocabulary has."""
    for mark, turn, end, roles in _TURNS:
        if mark in tokenizer.vocabulary.ids:
            parts = [
                turn.format(
                    role=roles.get(message["role"], message["role"]), content=message["content"]
                )
                for message in messages
            ]
            return "".join(parts) + end
    raise UnsupportedModel(
        f"{source}: has neither a chat template nor tokens for turns; use --no-chat (in Python"
        " chat=False)"
    )


def _failed(source: str, reason: str) -> UnsupportedModel:
    return UnsupportedModel(f"{source}: its chat template cannot be rendered: {reason}")
