"""The identity of a model in results: its name, size, formats, and a fingerprint of its weights."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.fixed_values import stored_later
from zeropoint.plans import Choice, bits_per_weight
from zeropoint.results.model_identity import ModelIdentity

HEADER_BYTES = 1 << 20  # at the start of each file
SAMPLED_BLOCKS = 64  # spread over each file
SAMPLE_BYTES = 4096


def identify(checkpoint: Checkpoint) -> ModelIdentity:
    """Return the identity of a checkpoint; only samples of its bytes are read."""
    matrices = (info for info in checkpoint.tensors.values() if len(info.shape) > 1)
    formats = Counter(info.format.name for info in matrices)
    size = checkpoint.file_bytes
    bits = bits_per_weight(size, checkpoint.tensors.values())
    return ModelIdentity(checkpoint.path.name, size, dict(formats), _fingerprint(checkpoint), bits)


def identify_copy(source: Checkpoint, name: str, choices: Iterable[Choice]) -> ModelIdentity:
    """Return the identity of a model that is quantized in memory from `source` by a plan."""
    choices = list(choices)
    formats = Counter(choice.format.name for choice in choices if len(choice.shape) > 1)
    plan = "\n".join(f"{choice.name} {choice.format.name}" for choice in choices)
    fingerprint = hashlib.sha256(f"{_fingerprint(source)}\n{plan}".encode()).hexdigest()
    size = sum(choice.nbytes for choice in choices)
    bits = bits_per_weight(size, choices)
    return ModelIdentity(f"{source.path.name} as {name}", size, dict(formats), fingerprint, bits)


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of each file, with as many of its folders as tell different files apart.

    >>> distinct_names([Path("a/q4.gguf"), Path("b/q4.gguf"), Path("b/q8.gguf")])
    ['a/q4.gguf', 'b/q4.gguf', 'q8.gguf']
    """
    whole = [path.absolute() for path in paths]

    def shortest(path: Path) -> str:
        others = {other for other in whole if other != path}
        for count in range(1, len(path.parts)):
            if not any(other.parts[-count:] == path.parts[-count:] for other in others):
                return "/".join(path.parts[-count:])
        return str(path)

    return [shortest(path) for path in whole]


def _fingerprint(checkpoint: Checkpoint) -> str:
    """Return the SHA-256 over the size, the header and samples of each file.

    A loss that is stored later does not change it: those bytes count as zeros.
    """
    digest = hashlib.sha256()
    ignored = list(stored_later(checkpoint))
    for path in checkpoint.files:
        size = path.stat().st_size
        digest.update(size.to_bytes(8, "little"))
        ranges = [(start, count) for file, start, count in ignored if file == path]
        with path.open("rb") as file:
            digest.update(_without(ranges, 0, file.read(HEADER_BYTES)))
            for sample in range(SAMPLED_BLOCKS):
                place = size * sample // SAMPLED_BLOCKS
                file.seek(place)
                digest.update(_without(ranges, place, file.read(SAMPLE_BYTES)))
    return digest.hexdigest()


def _without(ranges: Sequence[tuple[int, int]], place: int, data: bytes) -> bytes:
    """Return the bytes at this offset of a file, with zeros in some (offset, length) ranges."""
    for start, count in ranges:
        first = min(max(start - place, 0), len(data))
        last = min(max(start + count - place, 0), len(data))
        data = data[:first] + bytes(last - first) + data[last:]
    return data
