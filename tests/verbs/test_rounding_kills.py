"""A command with error feedback that is killed at any moment and run again writes the same file."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.tiny_models import write_model
from zeropoint.quantizers.work_estimate import RECORD_FILE
from zeropoint.verbs.work_folder import work_folder

KILLS = 10


def start(model: Path, text: Path, output: Path, inputs: str) -> "subprocess.Popen[bytes]":
    """Begin the command, with a cache next to the output."""
    words = ["quantize", model, output, "--to", "Q4_0", "--text", text, "--rounding", "feedback"]
    words += ["--inputs", inputs, "--threads", "1", "--progress", "none", "-q"]
    environment = {
        "PYTHONPATH": os.pathsep.join(sys.path),
        "XDG_CACHE_HOME": str(output.parent / "cache"),
    }
    with (output.parent / "errors.txt").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "zeropoint", *map(str, words)],
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def wait_for_work(process: "subprocess.Popen[bytes]", output: Path) -> float:
    """Wait until the command stores its work, and return the time."""
    while not work_folder(output).exists() and process.poll() is None:
        time.sleep(0.01)
    return time.monotonic()


@pytest.mark.slow
@pytest.mark.parametrize("inputs", ["reference", "sequential"])
def test_ten_kills_at_random_moments_and_the_same_command_again_give_the_same_bytes(
    tmp_path: Path, inputs: str
) -> None:
    model = write_model(tmp_path / "tiny.gguf", format="BF16")
    text = tmp_path / "words.txt"
    text.write_text("the rain in spain 42 " * 400)
    whole = tmp_path / "whole" / "o.gguf"
    whole.parent.mkdir()
    process = start(model, text, whole, inputs)
    began = wait_for_work(process, whole)
    assert process.wait() == 0, (whole.parent / "errors.txt").read_text()
    seconds = time.monotonic() - began
    expected = whole.read_bytes()
    source = random.Random(inputs)
    landed = 0
    while landed < KILLS:
        folder = tmp_path / f"run{source.random()}"
        # Without the rates, each run would spend more time on measuring them than on the work.
        (folder / "cache" / "zeropoint").mkdir(parents=True)
        rates = Path("cache") / "zeropoint" / RECORD_FILE
        shutil.copy(whole.parent / rates, folder / rates)
        output = folder / "o.gguf"
        process = start(model, text, output, inputs)
        wait_for_work(process, output)
        time.sleep(source.random() * seconds)
        process.kill()
        landed += process.wait() == -signal.SIGKILL and work_folder(output).exists()
        if output.exists():
            assert output.read_bytes() == expected
        else:
            again = start(model, text, output, inputs)
            assert again.wait() == 0, (folder / "errors.txt").read_text()
            assert output.read_bytes() == expected
            assert {entry.name for entry in folder.iterdir()} == {"o.gguf", "cache", "errors.txt"}
