"""The verbs that write, each with a way to tell an old output from a new one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VARIES = ("seconds", "tokens_per_second", "peak_memory_bytes")


@dataclass(frozen=True)
class Case:
    """A command line that writes `output` below a folder.

    `words` are its arguments, with OUT for the output. `old` says what was there before: a copy of
    another output of the same kind, or nothing. `resumes`: the output may be half done.
    """

    name: str
    words: Sequence[str]
    output: str
    old: Sequence[str] = ()
    resumes: bool = False


def cases(model: str, text: str) -> list[Case]:
    """Return the cases on a small model and a text."""
    few = ["--text", text, "--ctx", "16", "--chunks", "3", "--threads", "1", "-q"]
    quantize = ["quantize", model, "OUT", "--threads", "1", "-q", "--overwrite", "--to"]
    calibrate = ["calibrate", model, "-o", "OUT", "--overwrite", *few]
    measure = ["measure", model, "--as", "Q8_0", "--floor-chunks", "1", *few]
    return [
        Case("quantize to a file", [*quantize, "Q8_0"], "m.gguf", [*quantize, "Q4_0"]),
        Case("quantize to a folder", [*quantize, "BF16"], "folder", [*quantize, "F16"]),
        Case("calibrate", calibrate, "im.gguf", [*calibrate, "--ctx", "24"]),
        Case("measure", [*measure, "--run", "OUT"], "run", resumes=True),
    ]


def content(path: Path) -> dict[str, bytes]:
    """Return the files of an output, but for times in them."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {
        str(file.relative_to(path)): _without_times(file)
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def _without_times(file: Path) -> bytes:
    if file.suffix == ".npz":  # a chunk of a run
        import numpy as np

        with np.load(file) as arrays:
            return b"".join(
                name.encode() + arrays[name].tobytes() for name in arrays if name != "seconds"
            )
    if file.name == "run.json":
        head = json.loads(file.read_text())
        head["results"] = {k: v for k, v in head["results"].items() if k not in VARIES}
        head.pop("origin", None)  # its date
        return json.dumps(head).encode()
    return b"" if file.name == "sha256.txt" else file.read_bytes()
