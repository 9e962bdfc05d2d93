"""What an output says about where it comes from.

    general.quantization_version, general.file_type     as llama.cpp writes them
    quantize.imatrix.file, .dataset, .entries_count, .chunks_count
    zeropoint.version, zeropoint.recipe                 a recipe that gives these formats again
    zeropoint.source.file, zeropoint.source.sha256      of each file, in their order
    zeropoint.imatrix.sha256

Nothing else: no path, host, user or time, so that the same input gives the same bytes anywhere.
"""

from collections.abc import Mapping, Sequence

from zeropoint.checkpoints import Checkpoint
from zeropoint.plans import Choice, quantized_metadata, recipe_of

SOURCE_SHA256 = "zeropoint.source.sha256"
UNKNOWN_SHA256 = "0" * 64
OURS = "zeropoint."
IMATRIX = "quantize.imatrix."
LONGEST = 127  # bytes of a string that llama.cpp reads back from these keys


def output_metadata(
    source: Checkpoint,
    choices: Sequence[Choice],
    *,
    to: str | None = None,
    importance: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the source's metadata with what is said above; the hash is put in at the end.

    `to` is what was asked for, `importance` the facts about the importance that is used. What an
    earlier quantization of the source said of itself goes.
    """
    from zeropoint import __version__

    kept = {
        key: value for key, value in source.metadata.items() if not key.startswith((OURS, IMATRIX))
    }
    metadata = quantized_metadata(kept, choices, to)
    metadata |= importance or {}
    architecture = str(source.metadata.get("general.architecture", ""))
    metadata["zeropoint.version"] = __version__
    metadata["zeropoint.recipe"] = str(recipe_of(choices, architecture))
    names = [path.name for path in source.files]
    metadata["zeropoint.source.file"] = names[0] if len(names) == 1 else names
    return metadata | source_hash([UNKNOWN_SHA256] * len(names))


def source_hash(hashes: Sequence[str]) -> dict[str, object]:
    """Return the key of the source's hash: a string for one file, an array for several."""
    return {SOURCE_SHA256: hashes[0] if len(hashes) == 1 else list(hashes)}


def shortened(text: str) -> str:
    """Cut a string to what llama.cpp reads back, at a whole character."""
    return text.encode()[:LONGEST].decode(errors="ignore")
