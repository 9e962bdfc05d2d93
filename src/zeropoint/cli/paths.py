"""Checks the paths of a command before it runs: no output replaces an input.

Every parameter that may name a file or a folder has a note in its annotation: whether the command
reads or writes it. `Verb`, the class of all commands, calls `check_paths`. It compares each output
with each input, under any spelling, symbolic link or hard link, and with the other outputs:

    model: Annotated[Path, typer.Argument(...), InputRole.MODEL]
    report: Annotated[Path | None, typer.Option(...), OutputRole("page")]

A test fails for a parameter with a path that has no such note.
"""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from zeropoint.errors import OutputError, printable

OutputKind = Literal["file", "model", "page", "folder", "place", "own"]
PAGE_SUFFIXES = (".html", ".htm")
SETTINGS_SUFFIXES = (".json", ".jinja", ".model")  # config, tokenizer and template of a folder
MAX_PATH_CHARACTERS = 90  # of a path in a message, which has up to two paths

Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Replace the output if it exists. Without this option an existing output is an error."
        " An input is never replaced.",
    ),
]


class InputRole(Enum):
    """A path that a command reads, and its parameter."""

    MODEL = "model"  # a model file with its shards, all files of a folder, or a hub id
    FILE = "file"  # one file
    AFTER_COLON = "after colon"  # a word, or a word with a colon and one file
    NAMES = "names"  # names separated by commas, or a file
    TREE = "tree"  # the text files below a folder

    def path_in(self, text: str) -> str:
        """Return the path in a parameter's text, or "" if it names none."""
        return text.partition(":")[2] if self is InputRole.AFTER_COLON else text


@dataclass(frozen=True)
class OutputRole:
    """A path that a command writes, and its parameter.

    file     replaced only with --overwrite
    model    the same; a path without a suffix is a folder
    page     an HTML page: replaces only a page that zeropoint wrote
    folder   a run folder or cache: the command resumes a run in it, or raises an error
    place    a folder in which the command writes files of known names
    own      a file that the command may replace, because it wrote it
    """

    kind: OutputKind
    needs: str = ""  # without this other parameter the path is read, not written
    unless: str = ""  # with this other parameter nothing is written
    # Returns the paths that are written, from the values of all parameters; None: this path.
    paths: Callable[[Mapping[str, Any]], list[tuple[str, OutputKind]]] | None = None


@dataclass(frozen=True)
class InputPath:
    """A path that a command reads, and the parameter that names it."""

    label: str
    text: str
    reads: InputRole

    def files(self) -> Iterator[Path]:
        """Yield all files that belong to the path."""
        from zeropoint.checkpoints.inputs import model_files, text_files

        if self.reads is InputRole.MODEL:
            yield from model_files(self.text)
        elif self.reads in (InputRole.FILE, InputRole.AFTER_COLON):
            yield from text_files(self.text)
        elif self.reads is InputRole.TREE:
            from zeropoint.calibration.text_parts import folder_files

            yield from text_files(self.text)  # a file in place of a folder is an error later
            yield from folder_files(Path(self.text))
        else:
            for name in (self.text, *self.text.split(",")):
                yield from text_files(name.strip())


@dataclass(frozen=True)
class OutputPath:
    """A path that a command writes, and the parameter that names it."""

    label: str
    text: str  # as typed
    kind: OutputKind

    def __str__(self) -> str:
        return f"{self.label} {printable(self.text, MAX_PATH_CHARACTERS)}"

    @property
    def path(self) -> Path:
        """The path."""
        return Path(self.text)

    @property
    def is_folder(self) -> bool:
        """Whether the output is a folder, with everything in it."""
        return self.kind == "folder" or (self.kind == "model" and not self.path.suffix)

    @property
    def real(self) -> Path:
        """The path with all links resolved; its last parts need not exist."""
        return Path(os.path.realpath(self.path))

    def replaced(self) -> list[Path]:
        """Return the existing paths that writing replaces: the output and its partial file."""
        from zeropoint.checkpoints.files.atomic import part_of

        return [path for path in (self.real, part_of(self.real)) if os.path.lexists(path)]


def roles(command: Any) -> dict[str, InputRole | OutputRole]:
    """Return the note on the path of each parameter of a command, by the parameter's name."""
    hints = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    notes = {}
    for name, hint in hints.items():
        for note in getattr(hint, "__metadata__", ()):
            if isinstance(note, InputRole | OutputRole):
                notes[name] = note
    return notes


def check_paths(command: Any, values: Mapping[str, Any]) -> None:
    """Raise OutputError unless every output of a command may be written to its path."""
    inputs, targets = list[InputPath](), list[OutputPath]()
    notes = roles(command)
    for parameter in command.params:
        note, value = notes.get(parameter.name), values.get(parameter.name)
        if isinstance(note, OutputRole) and note.needs and not values.get(note.needs):
            note = InputRole.FILE
        if isinstance(note, InputRole):
            named = [note.path_in(text) for text in _texts(value)]
            inputs += [InputPath(label_of(parameter), text, note) for text in filter(None, named)]
        elif note is not None and note.paths is not None:
            targets += [OutputPath(label_of(parameter), *one) for one in note.paths(values)]
        elif note is not None and not values.get(note.unless):
            targets += [OutputPath(label_of(parameter), text, note.kind) for text in _texts(value)]
    for target in targets:
        _compare(target, inputs)
    for one, other in combinations(targets, 2):
        _keep_apart(one, other)
    places = [target.real for target in targets if target.kind in ("folder", "place")]
    for target in targets:
        _check_what_is_there(target, places, overwrite=bool(values.get("overwrite")))


def label_of(parameter: Any) -> str:
    """Return the name of a parameter in messages: its longest option, or its metavar."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name.upper()).strip("[].")


def _texts(value: Any) -> list[str]:
    several = value if isinstance(value, list | tuple) else [value]
    return [str(one) for one in several if one is not None and str(one)]


def _compare(target: OutputPath, inputs: Sequence[InputPath]) -> None:
    """Raise OutputError if writing the target would replace a file that the command reads."""
    for given in inputs:
        if _becomes_part(target, given):
            raise OutputError(
                f"{target} would become a file of the input {_named(given)};"
                " choose another folder or name"
            )
    replaced = target.replaced()
    for given in inputs if replaced else ():
        # The partial output that an interrupted command left in a folder is not an input.
        taken = [path for path in replaced if path == target.real or not _is_folder(given)]
        if target.is_folder and _is_folder(given) and _contains(taken, Path(given.text)):
            raise _collision(target, given)
        for file in given.files():
            if target.is_folder:
                # A run folder inside a model folder is not part of the input.
                inside = (_contains(taken, file) or _same(target.path, file)) and not _lies_in(
                    target, given
                )
            else:
                inside = any(_same(path, file) for path in taken) and not _old_page(target, given)
            if inside:
                raise _collision(target, given, file)


def _becomes_part(target: OutputPath, given: InputPath) -> bool:
    """Return whether a new file would be read as part of an input folder."""
    from zeropoint.checkpoints.folder import INDEX_FILE, SINGLE_FILE
    from zeropoint.checkpoints.hub.open_model import WEIGHTS_SUFFIXES

    folder, name = Path(given.text), target.path.name
    if not _is_folder(given) or target.real.parent != Path(os.path.realpath(folder)):
        return False
    if os.path.lexists(target.real) or target.is_folder:
        return False
    named = (folder / INDEX_FILE).exists() or (
        folder / SINGLE_FILE
    ).exists()  # other weights are ignored
    return name.endswith(SETTINGS_SUFFIXES) or (name.endswith(WEIGHTS_SUFFIXES) and not named)


def _named(given: InputPath) -> str:
    return f"{given.label} {printable(given.text, MAX_PATH_CHARACTERS)}"


def _is_folder(given: InputPath) -> bool:
    return given.reads is InputRole.MODEL and os.path.isdir(given.text)


def _contains(folders: Sequence[Path], path: Path) -> bool:
    real = Path(os.path.realpath(path))
    return any(folder == real or folder in real.parents for folder in folders)


def _lies_in(target: OutputPath, given: InputPath) -> bool:
    """Return whether the target is a run folder inside an input folder."""
    return target.kind == "folder" and Path(os.path.realpath(given.text)) in target.real.parents


def _old_page(target: OutputPath, given: InputPath) -> bool:
    """Return whether the target is a page of zeropoint inside an input folder."""
    from zeropoint.studio.report.bundle import is_our_page

    return target.kind == "page" and _is_folder(given) and is_our_page(target.real)


def _same(one: Path, other: Path) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other)
    return False


def _collision(target: OutputPath, given: InputPath, file: Path | None = None) -> OutputError:
    if target.is_folder and not _same(target.path, Path(given.text)):
        return OutputError(f"{target} holds the input {_named(given)}; choose a folder of its own")
    relation = "is the input"
    if file is not None and not _same(file, Path(given.text)):
        relation = "is a file of the input"
    return OutputError(f"{target} {relation} {_named(given)}; choose another name for the output")


def _keep_apart(one: OutputPath, other: OutputPath) -> None:
    """Raise OutputError if two outputs are the same, or one lies inside the other."""
    if one.real == other.real or _same(one.path, other.path):
        raise OutputError(f"{one} and {other} are the same output; choose two different names")
    for inner, outer in ((one, other), (other, one)):
        page = (
            inner.kind == "page" and inner.path.suffix.lower() in PAGE_SUFFIXES
        )  # of a run, inside it
        if outer.is_folder and outer.real in inner.real.parents and not page:
            raise OutputError(f"{inner} lies inside {outer}; choose separate folders")


def _check_what_is_there(target: OutputPath, places: Sequence[Path], *, overwrite: bool) -> None:
    """Raise OutputError if the output exists and may not be replaced."""
    from zeropoint.checkpoints.inputs import is_model
    from zeropoint.studio.report.bundle import is_our_page

    if target.kind == "page" and (is_model(target.path) or is_model(target.real)):
        raise OutputError(
            f"{target} has the name or content of a model, which a page never replaces;"
            " choose a name that ends in .html"
        )
    if not os.path.lexists(target.real):
        parent = target.real.parent
        will_exist = target.is_folder or target.kind == "place" or parent in places
        if not will_exist and not parent.is_dir():
            raise OutputError(f"{target}: its directory does not exist")
    elif (target.is_folder or target.kind == "place") and not target.real.is_dir():
        raise OutputError(f"{target} is a file; a folder is written there, so choose another name")
    elif not target.is_folder and target.kind != "place" and not target.real.is_file():
        raise OutputError(f"{target} exists and is not a regular file; choose another name")
    elif target.kind == "page" and not is_our_page(target.real):
        raise OutputError(
            f"{target} is not a page that zeropoint wrote, and a page replaces no other file;"
            " choose another name"
        )
    elif target.kind in ("file", "model") and not overwrite:
        if not target.is_folder or any(target.real.iterdir()):
            raise OutputError(
                f"{target} exists; add --overwrite to replace it, or choose another name"
            )
