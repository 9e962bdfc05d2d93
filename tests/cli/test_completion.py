"""Shell completion: what the script of a shell prints while somebody types."""

import os
import subprocess
import sys

import pytest

from zeropoint.cli import app


def run(words: list[str], **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "zeropoint", *words],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def complete(line: str) -> list[str]:
    """Return the completions that bash offers for a line; without any it completes file names."""
    position = len(line.split(" ")) - 1
    words = {"COMP_WORDS": line, "COMP_CWORD": str(position)}
    return run([], _ZEROPOINT_COMPLETE="complete_bash", **words).split()


def test_the_script_for_bash_asks_the_program_and_completes_paths() -> None:
    script = run([], _ZEROPOINT_COMPLETE="source_bash")
    assert "_ZEROPOINT_COMPLETE=complete_bash $1" in script
    assert "complete -o default -F _zeropoint_completion zeropoint" in script


def test_every_verb_is_offered() -> None:
    verbs = {command.callback.__name__ for command in app.registered_commands if command.callback}
    assert {"quantize", "measure", "run"} <= verbs == set(complete("zeropoint "))


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("zeropoint quantize --to q4_k", {"q4_k", "q4_k_m", "q4_k_s"}),
        ("zeropoint quantize --to MX", {"MXFP4", "MXFP4_MOE"}),
        ("zeropoint quantize --output-tensor-type q6", {"q6_k"}),
        ("zeropoint quantize --split", {"--split-max-size"}),
        ("zeropoint quantize --progress ", {"auto", "plain", "json", "none"}),
        ("zeropoint quantize model", set()),
        ("zeropoint quantize --to recipes/mine", set()),
        ("zeropoint quantize --run ", set()),
    ],
)
def test_options_and_their_values_are_offered_and_paths_are_left_to_the_shell(
    line: str, offered: set[str]
) -> None:
    assert set(complete(line)) == offered


def test_the_help_shows_how_to_install_completion_and_stays_short() -> None:
    text = run(["--help"], COLUMNS="100")
    assert "--install-completion" in text
    assert len(text.splitlines()) < 80


def test_the_target_of_quantize_is_shown_as_required() -> None:
    text = run(["quantize", "--help"], COLUMNS="200")
    line = next(line for line in text.splitlines() if line.startswith("  --to "))
    assert "TARGET" in line and line.endswith("(required)")
