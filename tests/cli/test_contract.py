"""Behaviour that scripts rely on: streams, exit codes, one-sentence errors, no colour in a pipe."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TextIO

import pytest

from support.tiny_models import write_model
from zeropoint.cli import main
from zeropoint.cli.output import Output, ProgressStyle
from zeropoint.cli.progress import Pace, track


def zeropoint(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "zeropoint", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )


def test_no_words_at_all_is_a_wish_for_help() -> None:
    done = zeropoint()
    assert done.returncode == 0
    assert "demo" in done.stdout and "doctor" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("words", [["doctor", "--nonsense"], ["nonsense"], ["--nonsense"]])
def test_wrong_words_are_one_sentence_and_exit_code_2(words: list[str]) -> None:
    done = zeropoint(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert "--help" in done.stderr


def test_json_is_one_object_and_nothing_else_on_stdout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    # Less than caches hold: these are speeds, only not memory's.
    monkeypatch.setattr("zeropoint.kernels.machine.best_buffer", lambda _: 16 << 20)
    monkeypatch.setattr("zeropoint.kernels.rates.MATRIX_BYTES", 8 << 20)
    monkeypatch.setattr("zeropoint.kernels.rates.BATCH_ROWS", 256)
    assert main(["doctor", "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert facts["schema"] == "zeropoint.doctor/1"
    assert facts["cores"] >= 1
    assert {1, facts["cores"]} <= {peak["threads"] for peak in facts["peaks"]}
    assert all({"flops", "read_bytes_per_second"} < set(peak) for peak in facts["peaks"])
    assert all("read_bytes_per_second" in rate for rate in facts["products"])
    assert len(facts["products"]) > 8 and "int8" in facts["native"]
    assert (tmp_path / "zeropoint" / "machine.json").is_file()  # `plan` predicts with it


def test_a_pipe_gets_no_escape_codes() -> None:
    done = zeropoint("doctor", "--no-measure")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = f"{sys.executable} -m zeropoint --help | head -c 1"
    done = subprocess.run(
        ["bash", "-c", command + '; echo " ${PIPESTATUS[0]}"'],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout.split()[-1] == "0"


def test_a_bug_is_70_and_has_no_traceback_unless_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(_package: str) -> str:
        raise ZeroDivisionError("a bug on purpose")

    monkeypatch.setattr("zeropoint.cli.commands.doctor.installed", broken)
    monkeypatch.delenv("ZEROPOINT_DEBUG", raising=False)
    assert main(["doctor", "--no-measure"]) == 70
    said = capsys.readouterr().err
    assert "a bug on purpose" in said and "Traceback" not in said
    monkeypatch.setenv("ZEROPOINT_DEBUG", "1")
    assert main(["doctor", "--no-measure"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("zeropoint.kernels.machine.this_machine", interrupted)
    assert main(["doctor"]) == 130


class Half:
    def __init__(self, done: int) -> None:
        self.done = done


def test_plain_progress_is_at_most_one_line_per_tenth(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zeropoint.cli.progress.QUIET_SECONDS", 0.0)
    records = [Half(done) for done in range(1, 101)]
    assert list(track(records, 100, "work", ProgressStyle.plain)) == records
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert [line.split("%")[0] for line in lines] == [f"work: {n} " for n in range(10, 101, 10)]


def test_json_progress_is_one_object_per_record(capsys: pytest.CaptureFixture[str]) -> None:
    list(track([Half(5), Half(10)], 10, "work", ProgressStyle.json))
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["done"] for line in lines] == [5, 10]
    assert lines[1]["seconds_left"] == 0
    assert {line["total"] for line in lines} == {10}
    assert {line["step"] for line in lines} == {"work"}


def test_the_time_left_does_not_count_what_is_prepared_before_the_first_unit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 0.0
    monkeypatch.setattr("zeropoint.cli.progress.time.monotonic", lambda: now)
    pace = Pace()
    assert pace.seconds_left(0, 10) is None
    now = 62.0  # a minute of preparation, and one unit of 2 s
    assert pace.seconds_left(1, 10) == 9 * 62.0
    now = 64.0
    assert pace.seconds_left(2, 10) == 8 * 2.0
    now = 66.0
    assert pace.seconds_left(3, 10) == 7 * 2.0


@pytest.mark.parametrize("style", list(ProgressStyle))
def test_quiet_turns_off_progress_that_nobody_chose(style: ProgressStyle) -> None:
    assert Output().progress(style) is style
    expected = ProgressStyle.none if style is ProgressStyle.auto else style
    assert Output(quiet=True).progress(style) is expected


def test_quiet_inspect_shows_the_progress_that_was_chosen(tmp_path: Path) -> None:
    tiny = write_model(tmp_path / "tiny.gguf")
    done = zeropoint("inspect", tiny, "--outliers", "--quiet", "--progress", "json")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert lines and lines[-1]["done"] == lines[-1]["total"]


def test_no_progress_is_silence(capsys: pytest.CaptureFixture[str]) -> None:
    list(track([Half(5), Half(10)], 10, "work", ProgressStyle.none))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("words", "absent"),
    [(["--help"], ["numpy", "torch"]), (["inspect", "nothing.gguf"], ["torch", "transformers"])],
)
def test_a_verb_loads_no_more_than_it_needs(words: list[str], absent: list[str]) -> None:
    """This keeps `--help` at 0.2 seconds, and lets a machine without torch quantize."""
    code = (
        "import sys; from zeropoint.cli import main; main(sys.argv[2:]);"
        "sys.exit(f'loaded: {set(sys.argv[1].split()) & set(sys.modules)}'"
        " if set(sys.argv[1].split()) & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, " ".join(absent), *words], capture_output=True, text=True
    )
    assert "loaded" not in done.stderr
    assert done.returncode == 0


def test_a_narrow_terminal_loses_whole_columns_and_no_characters(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zeropoint.cli import output

    digits = "0123456789" * 6
    columns = ("Name", ">KL", ">?Median", ">?Max")
    monkeypatch.setattr(output, "terminal_width", lambda: 30)
    Output().table(columns, [("all", "0.123456", "0.123456", "0.123456")])
    assert capsys.readouterr().out.splitlines()[0].split() == ["Name", "KL", "Median"]
    wide = output.console

    def narrow(stream: TextIO) -> Any:
        screen = wide(stream)
        screen.width = 30
        return screen

    monkeypatch.setattr(output, "console", narrow)
    Output().table(("Origin", ""), [("sha256", digits)])
    assert digits in "".join(capsys.readouterr().out.split()).replace("sha256", "")
