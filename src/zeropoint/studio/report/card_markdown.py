"""The model card of one or several files of a model: Markdown with YAML front matter for the hub.

Nothing is guessed: a license or a base model that neither the files nor the user state is a comment
in the front matter. All text from files is escaped.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zeropoint.errors import printable
from zeropoint.formatting import format_bytes
from zeropoint.results.inventory import ModelInventory
from zeropoint.studio.report.card_text import (
    NOT_MEASURED,
    how_to_measure,
    loss_of,
    loss_sentence,
    verdict_of,
    with_interval,
)
from zeropoint.studio.report.html import percent

MAX_TEXT_CHARACTERS = 200  # of a text from a file
MAX_RECIPE_CHARACTERS = 4000
MAX_LANGUAGES = 100
_HUB_URL = re.compile(
    r"https?://(?:www\.)?(?:huggingface\.co|hf\.co)/([\w.-]+/[\w.-]+)/?\Z", re.ASCII
)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+\Z", re.ASCII)
_LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*\Z", re.ASCII)
# Keys that name the repository of the model that was quantized, and not that of its parent.
_REPOSITORY_KEYS = (
    "general.source.huggingface.repository", "general.source.repo_url", "general.repo_url",
    "general.source.url", "general.url",
)  # fmt: skip
_FOLD, _FOLD_END = "<details><summary>Recipe</summary>", "</details>"


@dataclass(frozen=True)
class CardFacts:
    """What the front matter states about all files; None where it is not known."""

    base_model: str | None
    license: str | None
    license_name: str | None
    license_link: str | None
    quantized_by: str | None


@dataclass(frozen=True)
class CardEntry:
    """One file of a card: its name, its contents, and the name of its picture."""

    name: str
    model: ModelInventory
    picture: str


def facts_of(
    model: ModelInventory,
    *,
    base_model: str | None = None,
    license: str | None = None,
    quantized_by: str | None = None,
) -> CardFacts:
    """Return the facts of a card: those that are given, else those in the metadata of the file."""
    stated = {key: value for key, value in model.origin.items() if isinstance(value, str) and value}
    repositories = (_repository(stated[key]) for key in _REPOSITORY_KEYS if key in stated)
    license = license or stated.get("general.license")
    name = stated.get("general.license.name")
    if license and not _LICENSE_ID.match(license.lower()):
        license, name = "other", name or license
    return CardFacts(
        base_model=base_model or next((found for found in repositories if found), None),
        license=license.lower() if license else None,
        license_name=name if license else None,
        license_link=stated.get("general.license.link") if license else None,
        quantized_by=quantized_by or stated.get("general.quantized_by"),
    )


def model_card(files: Sequence[CardEntry], facts: CardFacts) -> str:
    """Return the card of one or several files of the same model as Markdown."""
    title = files[0].model.model.name or files[0].name.removesuffix(".gguf")
    blocks = [_front_matter(files[0].model, facts), f"# {escaped(title)}, quantized"]
    if facts.base_model:
        link = f"[{escaped(facts.base_model)}](https://huggingface.co/{facts.base_model})"
        blocks.append(f"Quantized versions of {link}." if _HUB_ID.match(facts.base_model) else "")
    if len(files) == 1:
        blocks += [_summary(files[0])]
    blocks += [_picture(file) for file in files]
    blocks += ["## Files", *_files(files)]
    if texts := _by_text(files):
        blocks += ["## Loss by kind of text", texts]
    blocks += ["## How the files were made", *(_origin(file) for file in files)]
    blocks += ["## Check and run a file", _commands(files[0])]
    blocks += ["## What was not measured", _limits(files)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escaped(text: object, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return text of which Markdown and HTML read no character as markup.

    >>> escaped("a|b <i>*x*</i>")
    'a\\\\|b &lt;i&gt;\\\\*x\\\\*&lt;/i&gt;'
    """
    shown = printable(str(text), limit).replace("&", "&amp;")
    shown = shown.replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]#|~$])", r"\\\1", shown)


def code(text: object, limit: int = MAX_TEXT_CHARACTERS) -> str:
    """Return text as inline code, also inside a table."""
    return f"`{printable(str(text), limit).replace('`', chr(0x2BC)).replace('|', chr(0x2223))}`"


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; a column whose name begins with ">" is aligned to the right."""
    lines = [
        [name.removeprefix(">") for name in columns],
        ["---:" if name.startswith(">") else "---" for name in columns],
        *rows,
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _front_matter(model: ModelInventory, facts: CardFacts) -> str:
    lines = [
        _entry("base_model", facts.base_model)
        or "# base_model: not stated in the file; name the repository of the 16-bit model",
        "base_model_relation: quantized",
        _entry("license", facts.license)
        or "# license: not stated in the file; name the license of the base model",
        _entry("license_name", facts.license_name),
        _entry("license_link", facts.license_link),
        _entry("quantized_by", facts.quantized_by),
        f"library_name: {'llama.cpp' if model.container == 'gguf' else 'transformers'}",
        "pipeline_tag: text-generation",
    ]
    languages = model.origin.get("general.languages")
    if isinstance(languages, list | tuple) and languages:
        lines += ["language:", *(f"- {_quoted(one)}" for one in languages[:MAX_LANGUAGES])]
    tags = ["quantized", "zeropoint", *(["gguf"] if model.container == "gguf" else [])]
    tags += ["imatrix"] if model.imatrix else []
    lines += ["tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *(line for line in lines if line), "---"])


def _entry(key: str, value: str | None) -> str:
    return f"{key}: {_quoted(value)}" if value else ""


def _quoted(value: object) -> str:
    """Return a text as YAML reads it; a double-quoted text of YAML has the escapes of JSON."""
    return json.dumps(printable(str(value), MAX_TEXT_CHARACTERS), ensure_ascii=False)


def _summary(file: CardEntry) -> str:
    loss = loss_of(file.model)
    if loss is None:
        return f"**{NOT_MEASURED}** This command measures it:\n\n" + _fenced(
            [how_to_measure(file.name, file.model)]
        )
    return f"**{escaped(verdict_of(loss))}** {escaped(loss_sentence(loss), 1000)}"


def _picture(file: CardEntry) -> str:
    return f"![Loss and formats of {escaped(file.name)}](<{file.picture}>)"


def _files(files: Sequence[CardEntry]) -> Iterator[str]:
    yield table(
        ("File", ">Size", ">Bits per weight", ">KL, nats per token (95 %)", ">Same top token",
         "Verdict"),
        (_file_row(file) for file in files),
    )  # fmt: skip
    yield (
        "KL is the mean divergence KL(reference ‖ quantized model) of the distributions of the next"
        " token, over the whole vocabulary; 0 means equal models. Bits per weight count the whole"
        " file."
    )
    losses = [loss for file in files if (loss := loss_of(file.model))]
    if len({(loss.text_sha256, loss.reference, loss.tokens) for loss in losses}) > 1:
        yield (
            "**The files were measured on different texts, positions or references, so their KL"
            " cannot be compared.**"
        )
    elif losses:
        yield (
            f"Measured on {losses[0].tokens:,} positions against"
            f" {code(losses[0].reference)}; SHA-256 of the text {code(losses[0].text_sha256)}."
        )
    without = [file for file in files if loss_of(file.model) is None]
    if without and len(files) > 1:
        yield "These commands measure the other files:\n\n" + _fenced(
            how_to_measure(file.name, file.model) for file in without
        )


def _file_row(file: CardEntry) -> Sequence[str]:
    model, loss = file.model, loss_of(file.model)
    size = format_bytes(model.file_bytes), f"{model.bits_per_weight:.2f}"
    if loss is None:
        return code(file.name), *size, "not measured", "–", "–"
    return (
        code(file.name), *size, with_interval(loss.kl), percent(loss.top1, 1),
        escaped(loss.verdict),
    )  # fmt: skip


def _by_text(files: Sequence[CardEntry]) -> str:
    """Return a table with a row for each kind of text and a column for each file."""
    losses = {file.name: loss for file in files if (loss := loss_of(file.model))}
    texts = list(dict.fromkeys(text for loss in losses.values() for text in loss.by_text))
    if len(texts) < 2:
        return ""
    rows = (
        [escaped(text)]
        + [
            with_interval(loss.by_text[text]) if text in loss.by_text else "–"
            for loss in losses.values()
        ]
        for text in texts
    )
    return table(("Text", *(f">{code(name)}" for name in losses)), rows)


def _origin(file: CardEntry) -> str:
    """Return how a file was made, with its digests and its recipe."""
    model, proof = file.model, file.model.proof
    lines = [f"### {escaped(file.name)}", ""]
    source, version = (model.origin.get(f"zeropoint.{key}") for key in ("source.file", "version"))
    if version:
        lines.append(f"- made by zeropoint {escaped(version)}")
    if source:
        lines.append(f"- source: {code(source)}")
    facts = dict(proof.method) if proof else {}
    lines += [f"- {escaped(key)}: {escaped(value, 500)}" for key, value in facts.items()]
    if proof and proof.tensors_sha256:
        lines.append(f"- SHA-256 of the tensors: {code(proof.tensors_sha256)}")
    if model.recipe:
        text = model.recipe.text[:MAX_RECIPE_CHARACTERS]
        left_out = len(model.recipe.text) - len(text)
        more = [f"… ({left_out:,} characters are left out)"] if left_out else []
        lines += ["", _FOLD, "", _fenced([*text.splitlines(), *more]), "", _FOLD_END]
    return "\n".join(lines)


def _commands(file: CardEntry) -> str:
    commands = [f"zeropoint run {file.name}"]
    if file.model.proof and file.model.proof.tensors_sha256:
        commands.append(f"zeropoint inspect {file.name} --verify   # compares the digest")
    if loss_of(file.model):
        commands.append(how_to_measure(file.name, file.model).removesuffix(" --store"))
    if file.model.container == "gguf":
        commands.append(f"llama-cli -m {file.name}")
    return _fenced(commands)


def _limits(files: Sequence[CardEntry]) -> str:
    measured = [file for file in files if loss_of(file.model)]
    begin = (
        "KL shows how close the file is to the reference on the measured text." if measured else ""
    )
    return (
        f"{begin} Speed, accuracy on tasks, and text of other kinds, lengths and languages were not"
        " measured. A digest in a file shows damage; it does not prove who wrote the file."
    ).strip()


def _fenced(lines: Iterable[str]) -> str:
    shown = (printable(line, 400).replace("```", "'''") for line in lines)
    return "\n".join(["```", *shown, "```"])


def _repository(text: str) -> str | None:
    """Return the hub id in a URL or a text, or None."""
    match = _HUB_URL.match(text)
    return match[1] if match else text if _HUB_ID.match(text) else None
