"""Arguments and options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from zeropoint.cli.paths import InputRole
from zeropoint.verbs.options.checks import ALL

MAX_COUNT = 2**31 - 1

MODEL_FORMS = (
    "a GGUF file (of a split model the first), a Hugging Face folder, or a hub id org/name"
)
ModelArgument = Annotated[
    str, typer.Argument(metavar="MODEL", help=f"The model: {MODEL_FORMS}."), InputRole.MODEL
]
ImatrixOption = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Importance matrix (imatrix) that weights the error of each column, as `calibrate` and"
        " llama-imatrix write it. Default: none, all columns count the same.",
    ),
    InputRole.MODEL,
]
KV_HELP = (
    "How keys and values are stored in the KV cache: f32 (exact), f16, q8_0 or q4_0, or K/V such as"
    " q8_0/q4_0."
)
KvCache = Annotated[str, typer.Option("--kv", metavar="TYPE", help=KV_HELP)]
KvRotation = Annotated[
    bool,
    typer.Option(
        "--kv-rotation/--no-kv-rotation",
        help="Rotate keys and values by a Hadamard matrix before they are stored as q8_0 or q4_0,"
        " as llama.cpp does. Other types are never rotated.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Number of threads. Default: all processor cores."),
]


class Arithmetic(StrEnum):
    """The precision of the activations that are multiplied."""

    fast = "fast"
    exact = "exact"


Mode = Annotated[
    Arithmetic,
    typer.Option(
        case_sensitive=False,
        help="exact: float32 activations; fast: activations rounded to 8 bits.",
    ),
]
Text = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Text file to measure on; repeatable, and each file is a domain of its own."
        " hub:org/name:FILE is a file of a data set on the hub. builtin:KIND/PART is"
        " built-in text: KIND is prose, code, dialogue, science, languages, long or all; PART is"
        " calibrate, select or evaluate, by default what the command does. Default: builtin, all"
        " kinds but long.",
    ),
    InputRole.FILE,
]
Context = Annotated[
    int,
    typer.Option(
        min=8, help="Number of tokens per chunk. The second half of each chunk is scored."
    ),
]


def parse_count(word: str) -> int | Literal["all"]:
    """Return a number of at least 1, or "all". Raises BadParameter for any other word."""
    if word == ALL:
        return ALL
    if not word.isascii() or not word.isdigit() or not 1 <= int(word) <= MAX_COUNT:
        raise typer.BadParameter(f"{word!r} is not a number from 1 to {MAX_COUNT}, or all")
    return int(word)


def count_option(unit: str, least: int = 8) -> Any:
    """Return the option for a count that is chosen by time if it is not given."""
    counts = ", ".join(str(count) for count in (8, 16, 32, 64, 128) if count >= least)
    return typer.Option(
        metavar="N|all",
        parser=parse_count,
        help=f"Maximum number of {unit}, or all. Default: {counts} or all, as many as take about"
        " two minutes at the speed of the first one.",
    )


# Typer has no unions: the type is that of `parse_count`, or None.
Chunks = Annotated[Any, count_option("chunks")]
CalibrationChunks = Annotated[Any, count_option("chunks", least=32)]
PromptCount = Annotated[Any, count_option("prompts, evenly spread over the file")]
TaskCount = Annotated[Any, count_option("tasks, the first ones of the file")]
FloorChunks = Annotated[
    int,
    typer.Option(
        min=0, help="Number of chunks that the noise floor is measured on. 0 disables the floor."
    ),
]
RequantizeInMemory = Annotated[
    bool,
    typer.Option("--requantize", help="Accept a model that is already quantized."),
]
Draft = Annotated[
    str,
    typer.Option(
        metavar="off|ngram|mtp|auto|MODEL",
        help="Guess several tokens at a time and check them in one pass; the text stays the same."
        " ngram: what followed the same words before. mtp: the model's own layer for multi-token"
        " prediction. auto: mtp if there is one, otherwise ngram. MODEL: a smaller model of the"
        " same family. off: no guesses.",
    ),
    InputRole.MODEL,
]
AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run the code that models write for tasks with tests, in a sandboxed process.",
    ),
]
