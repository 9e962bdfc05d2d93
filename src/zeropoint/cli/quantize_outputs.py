"""The files that one `quantize` command writes: one for each target of `--to`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer

from zeropoint.cli.paths import OutputKind

TYPE_FIELD = "{type}"  # in OUTPUT: the target, such as Q4_K_M


def targets_of(to: str) -> list[str]:
    """Return the targets of `--to`, which are separated by commas; the name of a file is one.

    >>> targets_of("Q4_K_M, q6_k")
    ['Q4_K_M', 'q6_k']

    Raises BadParameter for an empty or repeated target.
    """
    if "," not in to or Path(to).is_file():
        return [to]
    targets = [word.strip() for word in to.split(",")]
    if not all(targets) or len({target.upper() for target in targets}) < len(targets):
        raise typer.BadParameter(f"{to!r} has an empty or repeated target", param_hint="--to")
    return targets


def outputs_of(output: Path, targets: list[str]) -> list[Path]:
    """Return the output of each target.

    >>> [str(path) for path in outputs_of(Path("m-{type}.gguf"), ["q4_k_m", "mine.recipe"])]
    ['m-Q4_K_M.gguf', 'm-mine.gguf']

    Raises BadParameter for several targets with an output that does not contain {type}.
    """
    if len(targets) > 1 and TYPE_FIELD not in str(output):
        example = output.with_name(f"{output.stem}-{TYPE_FIELD}{output.suffix}")
        raise typer.BadParameter(
            f"{len(targets)} targets need {TYPE_FIELD} in the name, such as {example}",
            param_hint="OUTPUT",
        )
    return [Path(str(output).replace(TYPE_FIELD, _name(target))) for target in targets]


def written_paths(values: Mapping[str, Any]) -> list[tuple[str, OutputKind]]:
    """Return the paths that the command writes, from the values of its parameters."""
    output = values.get("output")
    if output is None or values.get("dry_run"):
        return []
    return [(str(path), "model") for path in outputs_of(Path(output), targets_of(values["to"]))]


def _name(target: str) -> str:
    path = Path(target)
    return path.stem if path.suffix == ".recipe" else target.upper()
