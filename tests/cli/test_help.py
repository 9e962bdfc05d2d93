"""The help of every command reads well on a terminal of 80 characters."""

import re
from itertools import pairwise
from typing import Any

import pytest
import typer

from zeropoint.cli import app, main

GROUP: Any = typer.main.get_command(app)
VERBS = list(GROUP.commands)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_a_verb_fits_80_columns_and_has_every_option(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert all(len(line) <= 80 for line in text.splitlines() if " " in line.strip())
    assert "[bold]" not in text and "{" not in text.split("\n\n")[0]
    joined = " ".join(text.split())
    for parameter in GROUP.commands[verb].params:
        if parameter.help:
            assert " ".join(parameter.help.split()) in joined, parameter.name
    # No line ends early: the first word of the next line would not have fitted.
    description = text.split("Options:")[0].split("\n\n")[1:]
    for paragraph in description:
        lines = paragraph.splitlines()
        for line, following in pairwise(lines):
            if not following.startswith(" "):
                assert len(line) + 1 + len(following.split()[0]) > 80


def test_the_list_of_commands_has_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"^  (\w+) +[A-Z]", text, re.MULTILINE) == VERBS
    assert all(len(line) <= 80 for line in text.splitlines())
