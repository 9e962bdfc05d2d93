"""What pages may start: verbs, each with a form whose fields become the words of a command.

No word of a body reaches the command line as it is: ids become paths of the listing, all else is a
number in its range, one of the words that are offered, or matches a pattern that holds no slash and
begins with no dash. What is written is new, in the root; a run of the same verb that was not
finished goes on, if nothing in it is a link to elsewhere (the command itself refuses other inputs).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from starlette.exceptions import HTTPException

from zeropoint.errors import CheckpointError
from zeropoint.plans import PRESETS
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.run_store import RunFolder, has_begun
from zeropoint.results.runs import read_head, read_run
from zeropoint.studio.http.jobs import Command
from zeropoint.studio.http.library import Entry, Kind, Library, id_of
from zeropoint.studio.http.requests import flag_in, list_in, text_in, whole_in
from zeropoint.studio.report.bundle import PageData

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
LEVELS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,]{0,199}", re.ASCII)
MODELS = 8  # of one command
FILES = 500  # texts, or task files, that are offered

FORMATS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4", "BF16")
OFFERED = tuple(dict.fromkeys([*PRESETS, *FORMATS]))  # presets, then single formats


LISTED: Mapping[str, Kind] = {"model": "model", "models": "model", "text": "text",
                              "tasks": "tasks"}  # fmt: skip


@dataclass(frozen=True)
class Field:
    """One control of a form, and the words that it becomes. Fields of one key are alike usually."""

    key: str
    label: str
    kind: Literal["model", "models", "text", "tasks", "choice", "levels", "whole", "flag"]
    option: str = ""  # the word before it; "" for an argument
    usual: str | int | bool = ""  # of a model: whether it is the reference
    least: int = 1  # of numbers, and how many models
    most: int = 10_000
    options: tuple[tuple[str, str], ...] = ()  # what may be chosen; before the files of the root


@dataclass(frozen=True)
class Form:
    """What a page asks before it starts a verb."""

    does: str
    fields: tuple[Field, ...]
    ending: str  # of the usual name, after the first model's
    see: tuple[tuple[str, str], ...] = ()  # addresses that show what was found, and their names
    record: str = ""  # the verb in its run.json, if another
    writes: str = ""  # the ending of the file that is written, beside the run
    resumes: bool = True


MODEL = Field("model", "Model", "model", usual=False)
QUANT = Field("model", "Quant", "model", usual=False)
REFERENCE = Field("reference", "Its reference", "model", "--ref", usual=True)
SEVERAL = Field("models", "Models, the first is what the others are put beside", "models", least=1,
                most=MODELS)  # fmt: skip
TEXT = Field("text", "Text", "text", "--text", options=(("", "built in: prose, code, chat, JSON"),))
CHUNKS = Field("chunks", "Chunks of text", "whole", "--chunks", usual=20)
REQUANTIZE = Field("requantize", "The model is quantized already: do it anyway", "flag",
                   "--requantize", usual=False)  # fmt: skip
PYTHON = ("python", "built in: 56 small Python problems")
CODE = Field("allow_code", "Run the Python that models write, for tasks with tests: in a process "
             "that can write nowhere but in a folder of its own, read only Python and /usr, and "
             "reach no network", "flag", "--allow-code", usual=False)  # fmt: skip

FORMS = {
    "quantize": Form(
        "Writes NAME.gguf, and what became of each tensor.",
        (MODEL, Field("to", "To", "choice", "--to", "Q4_K_M", options=tuple((x, x) for x in
                                                                            OFFERED)), REQUANTIZE),
        "-{to}", writes=".gguf", resumes=False,
    ),
    "measure": Form(
        "Perplexity, KL and flips of a quant beside its reference, on chunks of 512 tokens.",
        (MODEL, REFERENCE, TEXT, CHUNKS), "-measured",
        (("/measure?run={id}", "token by token"), ("/size", "Size vs bits")),
    ),
    "ladder": Form(
        "Quantizes the model in memory to each level: what each loses, and how fast it is.",
        (MODEL, Field("levels", "Levels", "levels", "--levels", "16,8,6,4,3,2"), TEXT, CHUNKS,
         REQUANTIZE), "-ladder",
    ),
    "drift": Form(
        "Both models continue the same prompts with the same noise, then work through tasks of "
        "several steps on their own answers. As set here: about two minutes for 0.5 B weights on "
        "two free cores.",
        (QUANT, REFERENCE, Field("prompts", "Prompts, of 48", "whole", "--count", 12, most=48),
         Field("length", "Tokens that each is continued by", "whole", "--tokens", 32, most=2048),
         Field("chains", "Chains of each of 6 kinds (0: none)", "whole", "--chains", 2, 0, 256)),
        "-drift", (("/long-run?run={id}", "Long run"),),
    ),
    "tasks": Form(
        "The models do the same tasks: what was lost, what was won, and whether that means "
        "anything. As set here: about a minute for two of 0.5 B weights on two free cores.",
        (SEVERAL, Field("tasks", "Tasks", "tasks", "--tasks", "python", options=(PYTHON,)), CODE,
         Field("count", "At most so many tasks", "whole", "--count", 20),
         Field("answer", "Tokens of an answer, at most", "whole", "--tokens", 128, most=4096)),
        "-tasks", (("/long-run?run={id}", "Long run"),),
    ),
    "compare": Form(
        "Models of any kind by memory: nats per byte of the same text, and tasks and chains if "
        "you like. As set here: about two minutes for two of 0.5 B weights on two free cores.",
        (Field("models", SEVERAL.label, "models", least=2, most=MODELS), TEXT, CHUNKS,
         Field("extra_tasks", "Tasks besides", "tasks", "--tasks", options=(("", "none"), PYTHON)),
         CODE, Field("extra_chains", "Chains of each of 6 kinds (0: none)", "whole", "--chains",
                     0, 0, 256)),
        "-compared", (("/size#size.series=nats:{name}", "Size vs bits"),), record="across",
    ),
}  # fmt: skip
REPORT = ("/report?run={id}", "its report")


def forms_for(library: Library, verbs: Sequence[str]) -> list[PageData]:
    """Return the forms of these verbs, with what lies in the root to choose from."""
    return [{"verb": verb, "does": FORMS[verb].does, "fields": [
        _control(field, library) for field in FORMS[verb].fields]} for verb in verbs]  # fmt: skip


def _control(field: Field, library: Library) -> PageData:
    """Return a field as pages draw it."""
    kind, usual, options = LISTED.get(field.kind), field.usual, [*field.options]
    if kind:
        entries = library.listing().of(kind)[: None if kind == "model" else FILES]
        options += [(entry.id, entry.name) for entry in entries]
    if kind == "model":
        reference, quant = _pair(library.listing().of("model"))
        usual = f"{reference},{quant}" if field.kind == "models" else reference if usual else quant
    return {"key": field.key, "label": field.label, "kind": field.kind, "usual": usual,
            "least": field.least, "most": field.most, "options": options}  # fmt: skip


def _pair(models: Sequence[Entry]) -> tuple[str, str]:
    """Return two models that may belong together: the largest whose name begins as the latest's."""
    family = [one for one in models if _first_word(one) == _first_word(models[0])]
    reference = max(family, key=lambda one: one.bytes, default=None)
    others = [one for one in [*family, *models] if one is not reference]
    if reference is None or not others:
        return ("", "") if reference is None else (reference.id, reference.id)
    if len(family) == 1:
        return others[0].id, reference.id
    return reference.id, others[0].id


def _first_word(model: Entry) -> str:
    return re.split(r"[-_.]", model.path.name, maxsplit=1)[0].lower()


def command(asked: Mapping[str, Any], library: Library) -> Command:
    """Return the command that a body asks for.

    Raises HTTPException: 400 for words that are none, 404 for ids, 409 for a name that is taken.
    """
    verb = text_in(asked, "verb", most=16)
    if verb not in FORMS:
        raise HTTPException(400, f"verb is one of {', '.join(FORMS)}")
    form = FORMS[verb]
    words = [word for field in form.fields for word in _words(field, asked, library)]
    if "python" in words and CODE.option not in words:
        raise HTTPException(400, "the built-in tasks run the code that models write: allow that, "
                            "or choose another file")  # fmt: skip
    name = _name(asked, Path(words[0]).stem[:40] + form.ending.format_map(asked))
    run = name
    if form.writes:
        name = name.removesuffix(form.writes)
        words.insert(1, _free(library, name + form.writes))
        run = f"{name}-made"
    words += ["--run", _run(library, run, form.record or verb)]
    again = {"verb": verb, "name": name} | {
        field.key: asked[field.key] for field in form.fields if field.key in asked
    }
    see = {to.format(id=id_of("run", run), name=run): told for to, told in (*form.see, REPORT)}
    return Command(verb, words, id_of("run", run), again, see, form.resumes)


def _words(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    """Return what a body says of a field as words of the command line."""
    if field.kind == "flag":
        return [field.option] if flag_in(asked, field.key) else []
    found = READ[field.kind](field, asked, library)
    return [field.option, *found] if field.option and found else found


def _model(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    return [_path(asked.get(field.key), field.key, "model", library)]


def _models(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    ids = list_in(asked, field.key, field.most)
    if len(ids) < field.least:
        raise HTTPException(400, f"{field.key}: choose at least {field.least}")
    return [_path(id, field.key, "model", library) for id in ids]


def _file(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    given = text_in(asked, field.key, most=64)
    if given not in dict(field.options):
        return [_path(given, field.key, LISTED[field.kind], library)]
    return [given] if given else []


def _whole(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    return [str(whole_in(asked, field.key, field.least, field.most))]


def _choice(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    given = text_in(asked, field.key, least=1, most=64)
    if given not in dict(field.options):
        raise HTTPException(400, f"{field.key} is one of {', '.join(dict(field.options))}")
    return [given]


def _levels(field: Field, asked: Mapping[str, Any], library: Library) -> list[str]:
    given = text_in(asked, field.key, least=1, most=200)
    if not LEVELS.fullmatch(given):
        raise HTTPException(400, "levels are bits and formats, as in 16,8,6,4,Q4_K_M")
    return [given]


READ: Mapping[str, Callable[[Field, Mapping[str, Any], Library], list[str]]] = {
    "model": _model, "models": _models, "text": _file, "tasks": _file, "whole": _whole,
    "choice": _choice, "levels": _levels,
}  # fmt: skip


def _path(id: object, key: str, kind: Kind, library: Library) -> str:
    try:
        return str(library.find(id if isinstance(id, str) else "", kind).path)
    except KeyError:
        what = "file of tasks" if kind == "tasks" else kind
        raise HTTPException(404, f"{key}: there is no {what} of this id below the root") from None


def _name(asked: Mapping[str, Any], usual: str) -> str:
    given = text_in(asked, "name", most=64) or re.sub(r"[^A-Za-z0-9._-]", "-", usual).lstrip("-._")
    if not NAME.fullmatch(given):
        raise HTTPException(400, "a name has letters, digits, dots, dashes and underscores")
    return given


def _free(library: Library, name: str) -> str:
    """Return the path of a new file or folder in the root; nothing that is there is touched."""
    path = library.root / name
    if path.exists() or path.is_symlink():
        raise HTTPException(409, f"{name} is there already; choose another name")
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
