"""`card`: a picture of each file and a model card, from what the files state."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from zeropoint.checkpoints import open_model
from zeropoint.checkpoints.files.atomic import check_target, plain_errors, write_file
from zeropoint.checkpoints.inputs import model_files
from zeropoint.errors import OutputError
from zeropoint.metrics.identity import distinct_names
from zeropoint.results.card import CardFile, CardResult
from zeropoint.results.inventory import ModelInventory
from zeropoint.studio.report.card_markdown import CardEntry, CardFacts, facts_of, model_card
from zeropoint.studio.report.card_picture import card_picture
from zeropoint.verbs.inspect import inspect
from zeropoint.verbs.options.card import CardOptions
from zeropoint.verbs.records import Notice, OnRecord, drain

DEFAULT_FOLDER = "card"
CARD_NAME = "README.md"  # the name that the hub shows

CardRecord: TypeAlias = Notice | CardResult


def card(
    files: str | Path | Sequence[str | Path],
    folder: str | Path = DEFAULT_FOLDER,
    *,
    base_model: str | None = None,
    license: str | None = None,
    quantized_by: str | None = None,
    overwrite: bool = False,
    progress: OnRecord | None = None,
) -> CardResult:
    """Write a picture of each file (SVG) and one model card (README.md) to a folder.

    Both show what the metadata of the files state, such as the loss that `measure` with `store` put
    there; nothing is measured, and of the tensors only sizes and formats are read. `CardOptions`
    explains the options.

    Raises CheckpointError for a file that is damaged or an output that exists (unless `overwrite`),
    UnsupportedModel for a file that is no language model, and OutputError for no files, or for
    files of different models.
    """
    several = [files] if isinstance(files, str | Path) else files
    options = CardOptions(
        base_model=base_model, license=license, quantized_by=quantized_by, overwrite=overwrite
    )
    return drain(card_records(several, folder, options), CardResult, progress)


def card_records(
    files: Sequence[str | Path], folder: str | Path, options: CardOptions
) -> Iterator[CardRecord]:
    """Run `card`; yield warnings about missing facts, and the result last."""
    folder = Path(folder)
    if not files:
        raise OutputError("a card needs at least one file")
    models = [_inventory(file) for file in files]
    _check_same_model(files, models)
    names, pictures = file_names(files)
    facts = facts_of(
        models[0],
        base_model=options.base_model,
        license=options.license,
        quantized_by=options.quantized_by,
    )
    yield from _notices(facts)
    entries = [CardEntry(*one) for one in zip(names, models, pictures, strict=True)]
    outputs = {one.picture: card_picture(one.name, one.model).encode() for one in entries}
    # A name that is not Unicode is written with replacement characters.
    outputs[CARD_NAME] = model_card(entries, facts).encode("utf-8", "replace")
    _write(folder, outputs, [path for file in files for path in model_files(str(file))], options)
    yield CardResult(
        str(folder / CARD_NAME),
        tuple(
            CardFile(
                name=one.name,
                file_bytes=one.model.file_bytes,
                bits_per_weight=one.model.bits_per_weight,
                picture=str(folder / one.picture),
                picture_bytes=len(outputs[one.picture]),
                proof=one.model.proof,
            )
            for one in entries
        ),
    )


def file_names(files: Sequence[str | Path]) -> tuple[list[str], list[str]]:
    """Return the name of each file on the card, and that of its picture.

    >>> file_names(["a/q4.gguf", "b/q4.gguf"])
    (['a/q4.gguf', 'b/q4.gguf'], ['a-q4.svg', 'b-q4.svg'])
    """
    names = distinct_names([Path(file) for file in files])
    pictures = [name.removesuffix(".gguf").strip("/").replace("/", "-") + ".svg" for name in names]
    if len(set(pictures)) < len(pictures):
        raise OutputError("a file is given twice, or two files would have the same picture")
    return names, pictures


def _inventory(file: str | Path) -> ModelInventory:
    with open_model(file) as source:
        return inspect(source, outliers=False)


def _check_same_model(files: Sequence[str | Path], models: Sequence[ModelInventory]) -> None:
    """Raise OutputError unless all files hold the same model, as far as their headers show."""
    first = models[0].model
    for file, other in zip(files, (one.model for one in models), strict=True):
        for what in ("architecture", "layers", "width"):
            one, two = getattr(first, what), getattr(other, what)
            if one != two:
                raise OutputError(
                    f"a card is about one model, but {file} has {what} {two} and {files[0]} has"
                    f" {one}; write one card for each model"
                )


def _notices(facts: CardFacts) -> Iterator[Notice]:
    if facts.license is None:
        yield Notice("the file states no license; name that of the base model with --license")
    if facts.base_model is None:
        yield Notice("the file does not state its base model; name it with --base-model ORG/NAME")


def _write(
    folder: Path, outputs: dict[str, bytes], sources: Sequence[Path], options: CardOptions
) -> None:
    """Write all outputs, the card last; each appears when it is complete."""
    with plain_errors(folder):
        folder.mkdir(exist_ok=True)
    for name in outputs:
        check_target(folder / name, sources, overwrite=options.overwrite)
    for name, data in outputs.items():
        write_file(folder / name, data, sources=sources)
