"""The forms that start a verb: fields, the arguments that they become, and their choices."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zeropoint.plans import PRESETS
from zeropoint.studio.data.library import Kind, Library, LibraryEntry
from zeropoint.studio.data.page_data import PageData

MAX_MODELS = 8  # of one command
MAX_OFFERED_FILES = 500  # texts, or task files, that are offered

SINGLE_FORMATS = (
    "Q4_0",
    "Q4_1",
    "Q5_0",
    "Q5_1",
    "Q8_0",
    "Q6_K",
    "IQ4_NL",
    "IQ4_XS",
    "MXFP4",
    "BF16",
)
SEARCHED_BITS = ("2", "2.5", "3", "3.5", "4", "4.5", "5", "5.5", "6")
QUANTIZE_TARGETS = tuple(dict.fromkeys([*PRESETS, *SINGLE_FORMATS]))  # presets, then single formats


KIND_OF_FIELD: Mapping[str, Kind] = {
    "model": "model",
    "models": "model",
    "text": "text",
    "tasks": "tasks",
}


@dataclass(frozen=True)
class FormField:
    """One control of a form, and the arguments that it becomes on the command line."""

    key: str
    label: str
    kind: Literal["model", "models", "text", "tasks", "choice", "levels", "whole", "flag", "recipe"]
    option: str = ""  # name of the option; "" for an argument
    default: str | int | bool = ""  # default; for a model, whether it is the reference
    minimum: int = 1  # minimum of numbers, and minimum number of models
    maximum: int = 10_000
    options: tuple[tuple[str, str], ...] = ()  # choices that precede the files of the root


@dataclass(frozen=True)
class VerbForm:
    """Form that a page shows before it starts a verb."""

    does: str
    fields: tuple[FormField, ...]
    ending: str  # suffix of the default run name, after the first model's name
    see: tuple[tuple[str, str], ...] = ()  # pages that show the result, and their names
    record: str = ""  # the verb in its run.json, if it differs
    writes: str = ""  # suffix of the file that is written in addition to the run
    output: str = ""  # option that names this file; "" if it is the second argument
    resumes: bool = True
    command: str = ""  # the verb of the command line, if it differs from the form's name


MODEL = FormField("model", "Model", "model", default=False)
QUANT = FormField("model", "Quant", "model", default=False)
REFERENCE = FormField("reference", "Its reference", "model", "--ref", default=True)
SEVERAL = FormField(
    "models",
    "Models, the first is what the others are put beside",
    "models",
    minimum=1,
    maximum=MAX_MODELS,
)
BUILT_IN_TEXTS = (
    ("", "built in: prose, code, dialogue, science, languages"),
    ("builtin:prose", "built in: prose"),
    ("builtin:code", "built in: code"),
    ("builtin:dialogue", "built in: dialogue"),
    ("builtin:science", "built in: science"),
    ("builtin:languages", "built in: languages"),
    ("builtin:long", "built in: long documents"),
)
TEXT = FormField("text", "Text", "text", "--text", options=BUILT_IN_TEXTS)
CHUNKS = FormField("chunks", "Chunks of text", "whole", "--chunks", default=20)
REQUANTIZE = FormField(
    "requantize",
    "The model is quantized already: do it anyway",
    "flag",
    "--requantize",
    default=False,
)
PYTHON = ("python", "built in: 56 small Python problems")
CODE = FormField(
    "allow_code",
    "Run the Python that models write, for tasks with tests: in a process "
    "that can write nowhere but in a folder of its own, read only Python and /usr, and "
    "reach no network",
    "flag",
    "--allow-code",
    default=False,
)

FORMS = {
    "quantize": VerbForm(
        "Writes NAME.gguf, and what became of each tensor.",
        (
            MODEL,
            FormField(
                "to",
                "To",
                "choice",
                "--to",
                "Q4_K_M",
                options=tuple((x, x) for x in QUANTIZE_TARGETS),
            ),
            REQUANTIZE,
        ),
        "-{to}",
        writes=".gguf",
        resumes=False,
    ),
    "measure": VerbForm(
        "Perplexity, KL and flips of a quant beside its reference, on chunks of 512 tokens.",
        (MODEL, REFERENCE, TEXT, CHUNKS),
        "-measured",
        (("/measure?run={id}", "token by token"), ("/size", "Size vs bits")),
    ),
    "search": VerbForm(
        "Finds which tensor should get which format, and writes NAME.recipe, which the page Recipe "
        "starts from. At the beginning it says how long it will take.",
        (
            FormField("reference", "Model", "model", default=True),
            FormField(
                "bits",
                "Bits per weight of the whole file, at most",
                "choice",
                "--bits",
                "4.5",
                options=tuple((x, x) for x in SEARCHED_BITS),
            ),
            FormField(
                "effort",
                "Effort",
                "choice",
                "--effort",
                "quick",
                options=tuple((x, x) for x in ("quick", "normal", "long")),
            ),
            TEXT,
        ),
        "-{bits}-bits",
        (("/search?run={id}", "the recipe, and what led to it"),),
        writes=".recipe",
        output="-o",
    ),
    "ladder": VerbForm(
        "Quantizes the model in memory to each level: what each loses, and how fast it is.",
        (
            MODEL,
            FormField("levels", "Levels", "levels", "--levels", "16,8,6,4,3,2"),
            TEXT,
            CHUNKS,
            REQUANTIZE,
        ),
        "-ladder",
    ),
    "drift": VerbForm(
        "Both models continue the same prompts with the same noise, then work through tasks of "
        "several steps on their own answers. As set here: about two minutes for 0.5 B weights on "
        "two free cores.",
        (
            QUANT,
            REFERENCE,
            FormField("prompts", "Prompts, of 48", "whole", "--count", 12, maximum=48),
            FormField(
                "length", "Tokens that each is continued by", "whole", "--tokens", 32, maximum=2048
            ),
            FormField(
                "chains", "Chains of each of 6 kinds (0: none)", "whole", "--chains", 2, 0, 256
            ),
        ),
        "-drift",
        (("/long-run?run={id}", "Long run"),),
    ),
    "tasks": VerbForm(
        "The models do the same tasks: what was lost, what was won, and whether that means "
        "anything. As set here: about a minute for two of 0.5 B weights on two free cores.",
        (
            SEVERAL,
            FormField("tasks", "Tasks", "tasks", "--tasks", "python", options=(PYTHON,)),
            CODE,
            FormField("count", "At most so many tasks", "whole", "--count", 20),
            FormField(
                "answer", "Tokens of an answer, at most", "whole", "--tokens", 128, maximum=4096
            ),
        ),
        "-tasks",
        (("/long-run?run={id}", "Long run"),),
    ),
    "compare": VerbForm(
        "Models of any kind by memory: nats per byte of the same text, and tasks and chains if "
        "you like. As set here: about two minutes for two of 0.5 B weights on two free cores.",
        (
            FormField("models", SEVERAL.label, "models", minimum=2, maximum=MAX_MODELS),
            TEXT,
            CHUNKS,
            FormField(
                "extra_tasks", "Tasks besides", "tasks", "--tasks", options=(("", "none"), PYTHON)
            ),
            CODE,
            FormField(
                "extra_chains",
                "Chains of each of 6 kinds (0: none)",
                "whole",
                "--chains",
                0,
                0,
                256,
            ),
        ),
        "-compared",
        (("/size#size.series=nats:{name}", "Size vs bits"),),
        record="across",
    ),
}
FORMS["recipe"] = replace(
    FORMS["quantize"],
    does="Writes NAME.gguf by a recipe of the page Recipe, which is kept as NAME.recipe.",
    fields=(
        MODEL,
        FormField("recipe", "Recipe", "recipe", "--to"),
        FormField("importance", "Read a text first, for importance", "flag", default=False),
        REQUANTIZE,
    ),
    ending="-recipe",
    command="quantize",
)
STARTED_ON_JOBS = tuple(form for form in FORMS if form != "recipe")  # it has a page of its own
REPORT_LINK = ("/report?run={id}", "its report")


def forms_for(library: Library, verbs: Sequence[str]) -> list[PageData]:
    """Return the forms of these verbs, with the library's files as choices."""
    return [
        {
            "verb": verb,
            "does": FORMS[verb].does,
            "fields": [_control(field, library) for field in FORMS[verb].fields],
        }
        for verb in verbs
    ]


def _control(field: FormField, library: Library) -> PageData:
    """Return a field as the page data that draws it."""
    kind, default, options = KIND_OF_FIELD.get(field.kind), field.default, [*field.options]
    if kind:
        entries = library.listing().of(kind)[: None if kind == "model" else MAX_OFFERED_FILES]
        options += [(entry.id, entry.name) for entry in entries]
    if kind == "model":
        reference, quant = _pair(library.listing().of("model"))
        default = (
            f"{reference},{quant}" if field.kind == "models" else reference if default else quant
        )
    return {
        "key": field.key,
        "label": field.label,
        "kind": field.kind,
        "usual": default,
        "least": field.minimum,
        "most": field.maximum,
        "options": options,
    }


def _pair(models: Sequence[LibraryEntry]) -> tuple[str, str]:
    """Return the default pair: the latest model, and the largest one with the same first word."""
    family = [one for one in models if _first_word(one) == _first_word(models[0])]
    reference = max(family, key=lambda one: one.bytes, default=None)
    others = [one for one in [*family, *models] if one is not reference]
    if reference is None or not others:
        return ("", "") if reference is None else (reference.id, reference.id)
    if len(family) == 1:
        return others[0].id, reference.id
    return reference.id, others[0].id


def _first_word(model: LibraryEntry) -> str:
    return re.split(r"[-_.]", model.path.name, maxsplit=1)[0].lower()
