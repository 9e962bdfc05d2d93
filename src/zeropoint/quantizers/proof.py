"""The proof in a file: its method, the digest of its tensors, and the loss that was measured.

    zeropoint.tensors.sha256     digest of the tensors (see checkpoints.tensor_digest)
    zeropoint.kl.mean, .low, .high
                                 mean KL(reference ‖ quant), nats per token, and its 95 % interval
    zeropoint.kl.tokens          positions that were scored
    zeropoint.kl.top1            share of positions with the same most likely token, from 0 to 1
    zeropoint.kl.verdict, .reference, .text_sha256
    zeropoint.kl.by_text         JSON: kind of text -> [mean, low, high, tokens]
    zeropoint.kl.examples        JSON: some predictions that changed
    zeropoint.kl.check           SHA-256 of the digest of the tensors and of the values above

All of them are strings of a fixed width, filled with spaces. Until a loss is stored they say "not
measured". The check is written last. If it does not fit, storing was interrupted, the fields were
edited, or they were copied from a file with other tensors: the loss then counts as not measured.
The check and the digest show damage; they prove no author.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

from zeropoint.checkpoints import Checkpoint, open_checkpoint
from zeropoint.checkpoints.fixed_values import STORED_LATER, padded, replace_values
from zeropoint.errors import CheckpointError, printable
from zeropoint.plans.formats.inventory import bounded
from zeropoint.results.divergence import MeasureResult
from zeropoint.results.interval import Interval
from zeropoint.results.predictions import ChangedPrediction
from zeropoint.results.proof import FileProof, StoredLoss, TextLoss

TENSORS_SHA256 = "zeropoint.tensors.sha256"
NOT_MEASURED = "not measured"
CHECK = "check"
# Bytes of each field, by its name after STORED_LATER.
WIDTHS = {
    "mean": 24, "low": 24, "high": 24, "tokens": 16, "top1": 24, "verdict": 24, "reference": 128,
    "text_sha256": 64, "by_text": 2048, "examples": 1024, CHECK: 64,
}  # fmt: skip
MAX_NAME_CHARACTERS = 32  # of a kind of text
# Keys about the method, in the order in which they are shown.
METHOD = (
    "zeropoint.method",
    "zeropoint.rounding",
    "zeropoint.calibration.inputs",
    "zeropoint.calibration.effort",
    "zeropoint.calibration.corpus",
    "zeropoint.calibration.tokens",
    "zeropoint.imatrix.sha256",
    "zeropoint.text.calibrate.sha256",
    "zeropoint.text.select.sha256",
    "zeropoint.text.evaluate.sha256",
)


def unmeasured_fields() -> dict[str, str]:
    """Return the fields of a file whose loss is not measured."""
    return {STORED_LATER + name: padded(NOT_MEASURED, width) for name, width in WIDTHS.items()}


def store_measurement(path: Path | str, result: MeasureResult) -> None:
    """Store the loss of a file in the file, as `write_proof` does, from the result of `measure`."""
    write_proof(path, StoredLoss.of(result))


def write_proof(path: Path | str, loss: StoredLoss) -> None:
    """Store a measured loss in a file that zeropoint wrote; no tensor moves and none is read.

    After a crash at any moment the fields hold a whole loss, or their check shows that they do not.
    Raises CheckpointError for a file without the fields, for a link, and for a file that another
    process is writing.
    """
    with open_checkpoint(path) as checkpoint:
        check_storable(checkpoint)
        values = _encoded(loss, str(checkpoint.metadata[TENSORS_SHA256]))
        replace_values(checkpoint, {STORED_LATER + name: text for name, text in values.items()})


def check_storable(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError unless a loss can be stored in the checkpoint's file."""
    path = checkpoint.files[0]
    if not _has_fields(checkpoint):
        raise CheckpointError(
            path,
            "has no fields for a measured loss: only a GGUF file that `zeropoint quantize` wrote,"
            " from this version on, has them",
        )
    if path.is_symlink():
        raise CheckpointError(
            path, "is a link, and a loss is stored only in a file itself; name the file"
        )


def read_proof(checkpoint: Checkpoint) -> FileProof:
    """Return what the metadata of a file say about its making and its loss; no tensor is read.

    A file that zeropoint did not write has `FileProof()`.
    """
    stated = checkpoint.metadata.get(TENSORS_SHA256)
    digest = bounded(stated) if isinstance(stated, str) else None
    proof = FileProof(
        tensors_sha256=digest,
        method={
            key.removeprefix("zeropoint."): bounded(checkpoint.metadata[key])
            for key in METHOD
            if key in checkpoint.metadata
        },
        has_fields=_has_fields(checkpoint),
    )
    if not proof.has_fields:
        return proof
    values = {name: _text(checkpoint.metadata, name) for name in WIDTHS}
    if values[CHECK].strip() == NOT_MEASURED and values == _stripped_unmeasured():
        return proof
    if values[CHECK] != _check(values, str(digest)):
        reason = "the fields of the loss do not fit together, or they belong to other tensors"
        return replace(proof, damage=reason)
    try:
        return replace(proof, loss=_decoded(values))
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError,
            CheckpointError):  # fmt: skip
        return replace(proof, damage="the fields of the loss are not those of this version")


def _has_fields(checkpoint: Checkpoint) -> bool:
    return isinstance(checkpoint.metadata.get(TENSORS_SHA256), str) and all(
        isinstance(value := checkpoint.metadata.get(STORED_LATER + name), str)
        and len(value.encode()) == width
        for name, width in WIDTHS.items()
    )


def _text(metadata: Mapping[str, object], name: str) -> str:
    return str(metadata[STORED_LATER + name]).rstrip(" ")


def _stripped_unmeasured() -> dict[str, str]:
    return dict.fromkeys(WIDTHS, NOT_MEASURED)


def _check(values: Mapping[str, str], tensors: str) -> str:
    """Return the SHA-256 of the tensors' digest and the values without filling, one line each."""
    lines = [f"tensors {tensors}\n"]
    lines += (f"{name} {values[name]}\n" for name in WIDTHS if name != CHECK)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _encoded(loss: StoredLoss, tensors: str) -> dict[str, str]:
    """Return the fields of a loss, with their filling; the check is the last one."""
    texts = [
        (printable(name, MAX_NAME_CHARACTERS), [*_numbers(one), one.tokens])
        for name, one in loss.by_text.items()
    ]
    values = {
        "mean": _number(loss.kl.mean),
        "low": _number(loss.kl.low),
        "high": _number(loss.kl.high),
        "tokens": str(loss.tokens),
        "top1": _number(loss.top1),
        "verdict": loss.verdict,
        "reference": _cut(
            printable(loss.reference, WIDTHS["reference"]), WIDTHS["reference"]
        ).strip(),
        "text_sha256": loss.text_sha256,
        "by_text": _as_many_as_fit(len(texts), lambda n: dict(texts[:n]), WIDTHS["by_text"]),
        "examples": _as_many_as_fit(
            len(loss.examples),
            lambda n: [_example(one) for one in loss.examples[:n]],
            WIDTHS["examples"],
        ),
    }
    values[CHECK] = _check(values, tensors)
    return {name: padded(values[name], width) for name, width in WIDTHS.items()}


def _decoded(values: Mapping[str, str]) -> StoredLoss:
    """Return the loss that the fields hold."""
    texts, examples = json.loads(values["by_text"]), json.loads(values["examples"])
    return StoredLoss(
        kl=Interval(_float(values["mean"]), _end(values["low"]), _end(values["high"])),
        tokens=int(values["tokens"]),
        text_sha256=values["text_sha256"],
        reference=values["reference"],
        verdict=values["verdict"],
        top1=_float(values["top1"]),
        by_text={
            str(name): TextLoss(_known(one[0]), _optional(one[1]), _optional(one[2]), int(one[3]))
            for name, one in texts.items()
        },
        examples=tuple(
            ChangedPrediction.from_json(one, "zeropoint.kl.examples") for one in examples
        ),
    )


def _number(value: float | None) -> str:
    """Return a number that reads back equal, or "unknown"."""
    return "unknown" if value is None or math.isnan(value) else repr(float(value))


def _end(text: str) -> float | None:
    return None if text == "unknown" else float(text)


def _float(text: str) -> float:
    return math.nan if text == "unknown" else float(text)


def _optional(value: float | None) -> float | None:
    return None if value is None else float(value)


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _numbers(figure: Interval) -> list[float | int | None]:
    ends = (figure.mean, figure.low, figure.high)
    return [None if end is None or math.isnan(end) else float(f"{end:.9g}") for end in ends]


def _example(one: ChangedPrediction) -> dict[str, object]:
    data = asdict(one)
    for key, value in data.items():
        if isinstance(value, float):
            data[key] = None if math.isnan(value) else float(f"{value:.4g}")
    return data


def _as_many_as_fit(count: int, first: Callable[[int], object], width: int) -> str:
    """Return as JSON the first `n` of `count` items, as many as fit into the width."""
    for number in range(count, -1, -1):
        text = json.dumps(first(number), ensure_ascii=False, separators=(",", ":"))
        data = text.encode("utf-8", "replace")  # a name of a file may be no Unicode
        if len(data) <= width:
            break
    return data.decode()


def _cut(text: str, width: int) -> str:
    return text.encode()[:width].decode(errors="ignore")
