"""Verbs that pages may start; the fields of a form become the arguments of a command.

No text of a body reaches the command line unchecked: ids become paths of the listing, all else is a
number in its range, one of the words that are offered, or matches a pattern that holds no slash and
begins with no dash. The text of a recipe goes into a file, as the parser of recipes prints it. What
is written is new, in the root; a run of the same verb that was not finished goes on, if nothing in
it is a link to elsewhere (the command itself refuses other inputs).
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.exceptions import HTTPException

from zeropoint.checkpoints.files.atomic import write_file
from zeropoint.errors import CheckpointError, ZeropointError
from zeropoint.plans import PRESETS, Recipe
from zeropoint.plans.formats.presets import NEED_IMPORTANCE
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.run_store import RunFolder, has_begun
from zeropoint.results.runs import read_head, read_run
from zeropoint.studio.data.job_forms import CODE, FORMS, KIND_OF_FIELD, REPORT_LINK, FormField
from zeropoint.studio.data.library import Kind, Library, id_of
from zeropoint.studio.http.jobs import JobCommand
from zeropoint.studio.http.requests import flag_in, list_in, text_in, whole_in

RUN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
LEVEL_LIST = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,]{0,199}", re.ASCII)


def command(asked: Mapping[str, Any], library: Library) -> JobCommand:
    """Return the command that a request body describes.

    Raises HTTPException: 400 for invalid values, 404 for unknown ids, 409 for a name in use.
    """
    verb = text_in(asked, "verb", maximum=16)
    if verb not in FORMS:
        raise HTTPException(400, f"verb must be one of {', '.join(FORMS)}")
    form = FORMS[verb]
    words = [word for field in form.fields for word in _words(field, asked, library)]
    if "python" in words and CODE.option not in words:
        raise HTTPException(400, "the built-in tasks run code that models write; allow that, "
                            "or choose another file")  # fmt: skip
    name = _name(asked, Path(words[0]).stem[:40] + form.ending.format_map(asked))
    run = name
    if form.writes:
        name = name.removesuffix(form.writes)
        words[1:1] = [*filter(None, [form.output]), _free(library, name + form.writes)]
        run = f"{name}-made"
    folder = _run(library, run, form.record or form.command or verb)
    words += ["--run", folder]
    if verb == "quantize" and _needs_importance(asked["to"]):
        words += ["--text", "builtin"]
    if verb == "recipe":
        words[2:2] = _recipe(asked, library, name)
    again = {"verb": verb, "name": name} | {
        field.key: asked[field.key] for field in form.fields if field.key in asked
    }
    see = {to.format(id=id_of("run", run), name=run): told for to, told in (*form.see, REPORT_LINK)}
    return JobCommand(
        form.command or verb, words, id_of("run", run), again, see, form.resumes,
        title=form.title, folder=folder,
    )  # fmt: skip


def _needs_importance(target: str) -> bool:
    """Return whether a preset or format gives noise without an importance matrix."""
    return (PRESETS[target].base if target in PRESETS else target) in NEED_IMPORTANCE


def _words(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    """Return the arguments of the command line for one field of a body."""
    if field.kind == "flag":
        return [field.option] if flag_in(asked, field.key) and field.option else []
    words = WORDS_OF_KIND[field.kind](field, asked, library)
    return [field.option, *words] if field.option and words else words


def _model(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    return [_path(asked.get(field.key), field.key, "model", library)]


def _models(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    ids = list_in(asked, field.key, field.maximum)
    if len(ids) < field.minimum:
        raise HTTPException(400, f"{field.key}: choose at least {field.minimum}")
    return [_path(id, field.key, "model", library) for id in ids]


def _file(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    given = text_in(asked, field.key, maximum=64)
    if given not in dict(field.options):
        return [_path(given, field.key, KIND_OF_FIELD[field.kind], library)]
    return [given] if given else []


def _whole(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    return [str(whole_in(asked, field.key, field.minimum, field.maximum))]


def _choice(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    given = text_in(asked, field.key, minimum=1, maximum=64)
    if given not in dict(field.options):
        raise HTTPException(400, f"{field.key} must be one of {', '.join(dict(field.options))}")
    return [given]


def _levels(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    given = text_in(asked, field.key, minimum=1, maximum=200)
    if not LEVEL_LIST.fullmatch(given):
        raise HTTPException(400, "levels must be bits and formats, such as 16,8,6,4,Q4_K_M")
    return [given]


def _text(field: FormField, asked: Mapping[str, Any], library: Library) -> list[str]:
    text_in(asked, field.key, minimum=1)
    return []  # it goes into a file, see `_recipe`


def _recipe(asked: Mapping[str, Any], library: Library, name: str) -> list[str]:
    """Write the recipe of a body to NAME.recipe, and return the arguments that use it.

    The name is free, or the same recipe has it. Raises HTTPException: 400 for a text that is not a
    recipe, 409 for another file of this name.
    """
    try:
        recipe = Recipe.parse(text_in(asked, "recipe"))
    except ZeropointError as error:
        raise HTTPException(400, f"recipe: {error}") from None
    path, text = library.root / f"{name}.recipe", f"{recipe}\n".encode()
    if path.is_symlink() or (path.exists() and path.read_bytes() != text):
        raise HTTPException(409, f"{path.name} already exists; choose another name")
    if not path.exists():
        write_file(path, text)
    needed = any(rule.format in NEED_IMPORTANCE for rule in recipe.rules)
    needs_text = needed or flag_in(asked, "importance")
    return ["--to", str(path), *(["--text", "builtin"] if needs_text else [])]


WORDS_OF_KIND: Mapping[str, Callable[[FormField, Mapping[str, Any], Library], list[str]]] = {
    "model": _model, "models": _models, "text": _file, "tasks": _file, "whole": _whole,
    "choice": _choice, "levels": _levels, "recipe": _text,
}  # fmt: skip


def _path(id: object, key: str, kind: Kind, library: Library) -> str:
    try:
        return str(library.find(id if isinstance(id, str) else "", kind).path)
    except KeyError:
        what = "file of tasks" if kind == "tasks" else kind
        raise HTTPException(404, f"{key}: there is no {what} with this id below the root") from None


def _name(asked: Mapping[str, Any], default: str) -> str:
    given = text_in(asked, "name", maximum=64) or re.sub(r"[^A-Za-z0-9._-]", "-", default).lstrip(
        "-._"
    )
    if not RUN_NAME.fullmatch(given):
        raise HTTPException(
            400, "a name may contain letters, digits, dots, dashes and underscores only"
        )
    return given


def _free(library: Library, name: str) -> str:
    """Return the path of a new file or folder in the root; existing ones are refused."""
    path = library.root / name
    if path.exists() or path.is_symlink():
        raise HTTPException(409, f"{name} already exists; choose another name")
    return str(path)


def _run(library: Library, name: str, verb: str) -> str:
    """Return the path of a run in the root: a new one, or one of this verb that is not finished."""
    path = library.root / name
    return str(path) if _unfinished(path, verb) else _free(library, name)


def _unfinished(path: Path, verb: str) -> bool:
    if path.is_symlink() or not path.is_dir() or any(p.is_symlink() for p in path.rglob("*")):
        return False
    try:
        if (path / "chunks").is_dir() and not has_begun(path):
            return True  # it was killed before its first record
        if read_head(path).verb != verb:
            return False
        if not RunFolder.open(path).results:
            return True
        result = read_run(path).result
        return isinstance(result, MeasureResult) and not result.complete  # it keeps what it has
    except CheckpointError:
        return False
