"""What an output says about where it comes from.

    general.quantization_version, general.file_type     as llama.cpp writes them
    quantize.imatrix.file, .dataset, .entries_count, .chunks_count
    zeropoint.version, zeropoint.recipe                 a recipe that gives these formats again
    zeropoint.source.file, zeropoint.source.sha256      of each file, in their order
    zeropoint.imatrix.sha256
    zeropoint.made_by                                   `demo`, in what it may replace later

Nothing else: no path, host, user or time, so that the same input gives the same bytes anywhere.
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
from zeropoint.quantizers.records import WriteOptions

MADE_BY = "zeropoint.made_by"
SOURCE_SHA256 = "zeropoint.source.sha256"
UNKNOWN_SHA256 = "0" * 64
OURS = "zeropoint."
IMATRIX = "quantize.imatrix."
NAME = 255  # characters of a file's name; bytes in it that are not UTF-8 are written as escapes
LONGEST = 127  # bytes of a string that llama.cpp reads back from these keys


def output_metadata(
    source: Checkpoint,
    choices: Sequence[Choice],
    calibration: Calibration | None,
    options: WriteOptions,
) -> dict[str, object]:
    """Return the source's metadata with what is said above; the source's hash is zeros so far.

    What an earlier quantization of the source said of itself is left out.
    """
    kept = {
        key: value
        for key, value in source.metadata.items()
        if not key.startswith((OURS, IMATRIX)) or key == TOKENIZER_KEY
    }
    metadata = quantized_metadata(kept, choices, options.to)
    if calibration:
        metadata |= importance_facts(calibration, options.importance_file)
    architecture = str(source.metadata.get("general.architecture", ""))
    metadata["zeropoint.version"] = __version__
    metadata["zeropoint.recipe"] = str(recipe_of(choices, architecture))
    if options.made_by:
        metadata[MADE_BY] = options.made_by
    names = [printable(path.name, NAME) for path in source.files]
    metadata["zeropoint.source.file"] = names[0] if len(names) == 1 else names
    return metadata | source_hash([UNKNOWN_SHA256] * len(names))


def maker_of(path: Path) -> str | None:
    """Return the verb that made a file, as its metadata names it; None for any other file."""
    try:
        with open_checkpoint(path) as found:
            maker = found.metadata.get(MADE_BY)
    except CheckpointError:
        return None
    return maker if isinstance(maker, str) else None


def importance_facts(calibration: Calibration, file: Path | None) -> dict[str, object]:
    """Return llama.cpp's keys about an importance matrix, and the hash of its file."""
    facts: dict[str, object] = {}
    if file:
        facts[IMATRIX + "file"] = shortened(printable(file.name, NAME))
    if calibration.datasets:
        facts[IMATRIX + "dataset"] = shortened(base_name(calibration.datasets[0]))
    facts[IMATRIX + "entries_count"] = UInt32(len(calibration.statistics))
    facts[IMATRIX + "chunks_count"] = UInt32(calibration.chunks)
    if file:
        facts["zeropoint.imatrix.sha256"] = file_sha256(file)
    return facts


def source_hash(hashes: Sequence[str]) -> dict[str, object]:
    """Return the key of the source's hash: a string for one file, an array for several."""
    return {SOURCE_SHA256: hashes[0] if len(hashes) == 1 else list(hashes)}


def base_name(path: str) -> str:
    """Return the last part of a path as typed on any system: the folders are nobody's business."""
    return PureWindowsPath(PurePosixPath(path).name).name or path


def shortened(text: str) -> str:
    """Cut a string to what llama.cpp reads back, at a whole character."""
    return text.encode()[:LONGEST].decode(errors="ignore")
