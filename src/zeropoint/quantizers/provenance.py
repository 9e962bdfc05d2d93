"""Metadata of an output about its origin.

    general.quantization_version, general.file_type     as llama.cpp writes them
    quantize.imatrix.file, .dataset, .entries_count, .chunks_count
    zeropoint.version, zeropoint.recipe                 the recipe gives these formats again
    zeropoint.source.file, zeropoint.source.sha256      of each file of the source, in order
    zeropoint.imatrix.sha256
    zeropoint.rounding, .rounding.library               nearest, or error feedback and its settings
    zeropoint.method                                    how the recipe was found, in words
    zeropoint.text.ROLE.sha256                          texts of a search: calibrate, select, …
    zeropoint.calibration.inputs, .calibration.effort   reference or sequential; quick, normal, long
    zeropoint.calibration.corpus, .calibration.tokens   the text it was calibrated on
    zeropoint.made_by                                   the verb, if it may replace the file later
    zeropoint.tensors.sha256, zeropoint.kl.*            see `proof`

It has no path, host, user or time, so that the same input gives the same bytes on any machine.
"""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from zeropoint._version import __version__
from zeropoint.calibration import Calibration
from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.checkpoints.provenance import file_sha256
from zeropoint.checkpoints.tokenizers.tokenizer_facts import TOKENIZER_KEY
from zeropoint.checkpoints.values import UInt32
from zeropoint.errors import CheckpointError, printable
from zeropoint.plans import Choice, quantized_metadata, recipe_of
from zeropoint.quantizers.proof import TENSORS_SHA256, unmeasured_fields
from zeropoint.quantizers.records import WriteOptions

MADE_BY = "zeropoint.made_by"
SOURCE_SHA256 = "zeropoint.source.sha256"
UNKNOWN_SHA256 = "0" * 64
OWN_PREFIX = "zeropoint."
IMATRIX_PREFIX = "quantize.imatrix."
MAX_NAME_CHARACTERS = 255  # of a file's name; bytes that are not UTF-8 are written as escapes
MAX_STRING_BYTES = 127  # of a string that llama.cpp reads back from these keys


def output_metadata(
    source: Checkpoint,
    choices: Sequence[Choice],
    calibration: Calibration | None,
    options: WriteOptions,
) -> dict[str, object]:
    """Return the metadata of an output: the source's keys, and those on its origin.

    The hashes of the source and of the tensors are all zeros; `hashes_of` replaces them when all
    tensors are written. Keys that an earlier quantization wrote are left out.
    """
    inherited = {
        key: value
        for key, value in source.metadata.items()
        if not key.startswith((OWN_PREFIX, IMATRIX_PREFIX)) or key == TOKENIZER_KEY
    }
    metadata = quantized_metadata(inherited, choices, options.to)
    if calibration:
        metadata |= importance_facts(calibration, options.importance_file)
    if options.feedback:
        metadata |= options.feedback.facts()
    elif any(choice.changes for choice in choices):
        metadata |= nearest_facts(calibration)
    if options.method:
        metadata["zeropoint.method"] = options.method
    metadata |= {f"zeropoint.text.{role}.sha256": text for role, text in options.texts.items()}
    architecture = str(source.metadata.get("general.architecture", ""))
    metadata["zeropoint.version"] = __version__
    metadata["zeropoint.recipe"] = str(recipe_of(choices, architecture))
    if options.made_by:
        metadata[MADE_BY] = options.made_by
    names = [printable(path.name, MAX_NAME_CHARACTERS) for path in source.files]
    metadata["zeropoint.source.file"] = names[0] if len(names) == 1 else names
    hashes = hashes_of([UNKNOWN_SHA256] * len(names), UNKNOWN_SHA256)
    return metadata | hashes | unmeasured_fields()


def maker_of(path: Path) -> str | None:
    """Return the verb that wrote a file, if its metadata names one; None for any other file."""
    try:
        with open_checkpoint(path) as checkpoint:
            maker = checkpoint.metadata.get(MADE_BY)
    except CheckpointError:
        return None
    return maker if isinstance(maker, str) else None


def importance_facts(calibration: Calibration, file: Path | None) -> dict[str, object]:
    """Return llama.cpp's keys about an importance matrix, and the hash of its file."""
    facts: dict[str, object] = {}
    if file:
        facts[IMATRIX_PREFIX + "file"] = shortened(printable(file.name, MAX_NAME_CHARACTERS))
    if calibration.datasets:
        facts[IMATRIX_PREFIX + "dataset"] = shortened(base_name(calibration.datasets[0]))
    facts[IMATRIX_PREFIX + "entries_count"] = UInt32(len(calibration.statistics))
    facts[IMATRIX_PREFIX + "chunks_count"] = UInt32(calibration.chunks)
    if file:
        facts["zeropoint.imatrix.sha256"] = file_sha256(file)
    return facts


def nearest_facts(calibration: Calibration | None) -> dict[str, object]:
    """Return the keys about rounding to the nearest code, and the text of its importance."""
    facts: dict[str, object] = {"zeropoint.rounding": "nearest"}
    if calibration and calibration.corpus:
        facts["zeropoint.calibration.corpus"] = calibration.corpus
        facts["zeropoint.calibration.tokens"] = str(calibration.tokens)
    return facts


def hashes_of(sources: Sequence[str], tensors: str) -> dict[str, object]:
    """Return the keys with the hash of each file of the source, and with that of the tensors."""
    return {
        SOURCE_SHA256: sources[0] if len(sources) == 1 else list(sources),
        TENSORS_SHA256: tensors,
    }


def base_name(path: str) -> str:
    """Return the last part of a Windows or POSIX path, because folders may be private."""
    return PureWindowsPath(PurePosixPath(path).name).name or path


def shortened(text: str) -> str:
    """Return a string cut to MAX_STRING_BYTES, at a whole character."""
    return text.encode()[:MAX_STRING_BYTES].decode(errors="ignore")
