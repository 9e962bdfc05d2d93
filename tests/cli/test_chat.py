"""The chat of `run`: its commands do not reach the model."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from support.tiny_models import write_model
from zeropoint.cli.chat import HELP, chat
from zeropoint.cli.output import Output
from zeropoint.verbs.options.generate import GenerateOptions


def test_commands_are_answered_by_the_chat_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Silent:
        """A conversation that remembers what it was told."""

        told: ClassVar[list[list[str]]] = []

        def __init__(self, *_: Any, **__: Any) -> None:
            self.told.append([])

        def say(self, text: str, **_: Any) -> list[object]:
            self.told[-1].append(text)
            return []

    lines = iter(["", "hello", "/help", "/clear", "/HELP ", "/what", "again", "/etc/hosts", "/bye"])
    monkeypatch.setattr("builtins.input", lambda _: next(lines))
    monkeypatch.setattr("zeropoint.models.Conversation", Silent)
    path = write_model(tmp_path / "tiny.gguf")
    chat(str(path), GenerateOptions(threads=1), Output())
    assert Silent.told == [["hello"], ["again", "/etc/hosts"]]
    assert next(lines, None) is None
    captured = capsys.readouterr()
    assert captured.out.count(HELP) == 2 and "no command /what" in captured.out
    assert "no chat template" in captured.err
