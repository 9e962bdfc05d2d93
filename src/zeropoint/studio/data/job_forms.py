"""The forms that start a verb: fields, the arguments that they become, and their choices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from zeropoint.kernels import has_encoder
from zeropoint.plans import PRESETS
from zeropoint.studio.data.library import Kind, Library, LibraryEntry
from zeropoint.studio.data.model_pairs import LibraryPair, header_of, pair_of
from zeropoint.studio.data.page_data import PageData

MAX_MODELS = 8  # of one command
MAX_OFFERED_FILES = 500  # texts, or task files, that are offered

# The usual choices first, then every other preset and format that can be written.
USUAL_TARGETS = ("Q4_K_M", "Q5_K_M", "Q6_K", "Q8_0", "Q3_K_M", "IQ4_XS", "IQ3_M", "IQ2_M", "BF16")
SINGLE_FORMATS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "IQ4_NL", "MXFP4")
SEARCHED_BITS = ("2", "2.5", "3", "3.5", "4", "4.5", "5", "5.5", "6")
WRITTEN_PRESETS = (
    name for name, preset in PRESETS.items() if preset.base and has_encoder(preset.base)
)
QUANTIZE_TARGETS = tuple(dict.fromkeys([*USUAL_TARGETS, *WRITTEN_PRESETS, *SINGLE_FORMATS]))


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

    title: str  # of its tab
    action: str  # of the button that starts it
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
QUANT = FormField("model", "Quantized model", "model", default=False)
REFERENCE = FormField("reference", "Reference", "model", "--ref", default=True)
SEVERAL = FormField(
    "models",
    "Models; the others are compared with the first",
    "models",
    minimum=1,
    maximum=MAX_MODELS,
)
BUILT_IN_TEXTS = (
    ("", "Built in: prose, code, dialogue, science, languages"),
    ("builtin:prose", "Built in: prose"),
    ("builtin:code", "Built in: code"),
    ("builtin:dialogue", "Built in: dialogue"),
    ("builtin:science", "Built in: science"),
    ("builtin:languages", "Built in: languages"),
    ("builtin:long", "Built in: long documents"),
)
TEXT = FormField("text", "Text", "text", "--text", options=BUILT_IN_TEXTS)
CHUNKS = FormField("chunks", "Chunks of text", "whole", "--chunks", default=20)
REQUANTIZE = FormField(
    "requantize",
    "Allow a model that is already quantized",
    "flag",
    "--requantize",
    default=False,
)
PYTHON = ("python", "Built in: 56 small Python problems")
CODE = FormField(
    "allow_code",
    "Run the Python code that models write, for tasks with tests. The process can write only to "
    "its own folder, read only Python and /usr, and has no network",
    "flag",
    "--allow-code",
    default=False,
)

FORMS = {
    "quantize": VerbForm(
        "Make smaller",
        "Write the smaller file",
        "Writes a quantized copy of the model as NAME.gguf, with the error of each tensor.",
        (
            MODEL,
            FormField(
                "to",
                "Size and format",
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
        "Measure the loss",
        "Measure",
        "Runs both models on a text, and reports how far their next-token predictions are apart: "
        "KL divergence, perplexity, flips and a verdict. 20 chunks of 512 tokens give a first "
        "answer; more chunks narrow the interval.",
        (MODEL, REFERENCE, TEXT, CHUNKS),
        "-measured",
        (("/measure?run={id}", "token by token"),),
    ),
    "search": VerbForm(
        "Search a recipe",
        "Search",
        "Finds which tensor should get which format for a given size, and writes NAME.recipe. It "
        "reports at the start how long it will take.",
        (
            FormField("reference", "Model", "model", default=True),
            FormField(
                "bits",
                "Maximum bits per weight of the whole file",
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
        (("/search?run={id}", "the recipe and its frontier"),),
        writes=".recipe",
        output="-o",
    ),
    "ladder": VerbForm(
        "Try several sizes",
        "Try them",
        "Quantizes the model in memory to each level, and measures the loss and the speed of each.",
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
        "Long texts",
        "Compare long texts",
        "Both models continue the same prompts with the same random numbers, then work through "
        "problems of several steps. The defaults take about two minutes for 0.5 B weights on two "
        "free cores.",
        (
            QUANT,
            REFERENCE,
            FormField("prompts", "Prompts (at most 48)", "whole", "--count", 12, maximum=48),
            FormField(
                "length", "Tokens generated for each prompt", "whole", "--tokens", 32, maximum=2048
            ),
            FormField(
                "chains", "Chains of each of 6 kinds (0 for none)", "whole", "--chains", 2, 0, 256
            ),
        ),
        "-drift",
        (("/long-run?run={id}", "long texts and tasks"),),
    ),
    "tasks": VerbForm(
        "Tasks",
        "Run the tasks",
        "All models answer the same tasks. Reports which answers became wrong or right, and "
        "whether the difference is significant. The defaults take about a minute for two models "
        "of 0.5 B weights on two free cores.",
        (
            SEVERAL,
            FormField("tasks", "Tasks", "tasks", "--tasks", "python", options=(PYTHON,)),
            CODE,
            FormField("count", "Maximum number of tasks", "whole", "--count", 20),
            FormField(
                "answer", "Maximum tokens of an answer", "whole", "--tokens", 128, maximum=4096
            ),
        ),
        "-tasks",
        (("/long-run?run={id}", "long texts and tasks"),),
    ),
    "compare": VerbForm(
        "Compare different models",
        "Compare",
        "Compares models of any kind and size on the same text, by nats per byte, and on tasks and "
        "chains if you choose them. The defaults take about two minutes for two models of 0.5 B "
        "weights on two free cores.",
        (
            FormField("models", SEVERAL.label, "models", minimum=2, maximum=MAX_MODELS),
            TEXT,
            CHUNKS,
            FormField("extra_tasks", "Tasks", "tasks", "--tasks", options=(("", "none"), PYTHON)),
            CODE,
            FormField(
                "extra_chains",
                "Chains of each of 6 kinds (0 for none)",
                "whole",
                "--chains",
                0,
                0,
                256,
            ),
        ),
        "-compared",
        (("/size#size.series=nats:{name}", "model comparison"),),
        record="across",
    ),
}
FORMS["recipe"] = replace(
    FORMS["quantize"],
    title="Write by a recipe",
    action="Write the file",
    does="Writes NAME.gguf by this recipe, which is kept as NAME.recipe.",
    fields=(
        MODEL,
        FormField("recipe", "Recipe", "recipe", "--to"),
        FormField("importance", "Collect importance from a text first", "flag", default=False),
        REQUANTIZE,
    ),
    ending="-recipe",
    command="quantize",
)
STARTED_ON_JOBS = tuple(form for form in FORMS if form != "recipe")  # it has a page of its own
REPORT_LINK = ("/report?run={id}", "report")
QUANTIZED_ADVICE = (
    "This model is already quantized, and quantizing it again loses twice. If you have the 16-bit "
    "original, start from that; otherwise allow it below."
)
NO_PAIR_ADVICE = (
    "No two models in this folder have the same architecture and shape. Make a model smaller "
    "first; its original is then the reference."
)


def forms_for(
    library: Library, verbs: Sequence[str], one: LibraryEntry | None = None
) -> list[PageData]:
    """Return the forms of these verbs, with the library's files as choices.

    The forms begin with `one` model, if it is given, and with a pair of the same architecture and
    shape if the verb compares models.
    """
    models = library.listing().of("model")
    pair = pair_of(models, one)
    first = one or (pair.reference if pair else models[0] if models else None)
    return [
        {
            "verb": verb,
            "title": FORMS[verb].title,
            "does": FORMS[verb].does,
            "action": FORMS[verb].action,
            "fields": [_control(field, library, pair, first) for field in FORMS[verb].fields],
            "advice": _advice(FORMS[verb], pair, first),
        }
        for verb in verbs
    ]


def _advice(form: VerbForm, pair: LibraryPair | None, first: LibraryEntry | None) -> str:
    """Return what to know before the form is sent as it begins; "" if nothing."""
    if REFERENCE in form.fields and not pair:
        return NO_PAIR_ADVICE
    header = header_of(first) if first and REQUANTIZE in form.fields else None
    return QUANTIZED_ADVICE if header and header.quantized else ""


def _control(
    field: FormField, library: Library, pair: LibraryPair | None, first: LibraryEntry | None
) -> PageData:
    """Return a field as the page data that draws it."""
    kind, default, options = KIND_OF_FIELD.get(field.kind), field.default, [*field.options]
    if kind:
        entries = library.listing().of(kind)[: None if kind == "model" else MAX_OFFERED_FILES]
        options += [(entry.id, entry.name) for entry in entries]
    if kind == "model":
        default = _default_models(field, pair, first)
    return {
        "key": field.key,
        "label": field.label,
        "kind": field.kind,
        "usual": default,
        "least": field.minimum,
        "most": field.maximum,
        "options": options,
    }


def _default_models(field: FormField, pair: LibraryPair | None, first: LibraryEntry | None) -> str:
    """Return the id of the model that a field begins with, or the ids, separated by commas."""
    if first is None:
        return ""
    if field.kind == "models":
        return f"{pair.reference.id},{pair.quant.id}" if pair else first.id
    if field.default:
        return pair.reference.id if pair else first.id
    return pair.quant.id if pair and field == QUANT else first.id
