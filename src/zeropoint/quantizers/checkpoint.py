"""Writes a model file in other formats, tensor by tensor and in slabs of rows.

Peak memory is a few slabs, whatever the size of the model. The output appears under its name only
when it is complete; a generator that is closed earlier leaves no file.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from zeropoint import kernels
from zeropoint.calibration import Calibration, find_importance
from zeropoint.checkpoints import Checkpoint, TensorInfo, create_checkpoint
from zeropoint.checkpoints.files.file_kind import check_use
from zeropoint.checkpoints.tensor_digest import TensorDigest
from zeropoint.errors import FormatError
from zeropoint.formats import F32, FORMATS
from zeropoint.plans import Choice
from zeropoint.quantizers.encoding import SlabEncoder
from zeropoint.quantizers.provenance import hashes_of, output_metadata
from zeropoint.quantizers.reading import SlabReader
from zeropoint.quantizers.records import OutputWritten, RowsWritten, TensorWritten, WriteOptions
from zeropoint.quantizers.slab_pipeline import ENCODE_AHEAD, write_slabs
from zeropoint.quantizers.tensor_encoder import TensorEncoder

DEFAULT_OPTIONS = WriteOptions()


def quantize_tensors(
    source: Checkpoint,
    choices: Iterable[Choice],
    output: Path | str,
    *,
    calibration: Calibration | None = None,
    threads: int | None = None,
    options: WriteOptions = DEFAULT_OPTIONS,
) -> Iterator[TensorWritten]:
    """Write `source` to `output` in the chosen formats; yield a record when a tensor is on disk.

    A tensor that keeps its format, or has no choice, is copied byte for byte. The bytes depend
    neither on `threads` (None: all processor cores) nor on the instruction set. The output exists
    when the iterator has ended.

    Raises FormatError for a weight that is not finite (with tensor, row and column) and for a
    tensor that is already quantized (unless options.requantize), and CheckpointError for a damaged
    file, for an output that is a file of the source or the importance matrix, or that exists
    (unless options.overwrite).
    """
    steps = write_quantized(
        source, choices, output, calibration=calibration, threads=threads, options=options
    )
    for step in steps:
        if isinstance(step, TensorWritten):
            yield step


def write_quantized(
    source: Checkpoint,
    choices: Iterable[Choice],
    output: Path | str,
    *,
    calibration: Calibration | None = None,
    threads: int | None = None,
    options: WriteOptions = DEFAULT_OPTIONS,
) -> Iterator[RowsWritten | TensorWritten | OutputWritten]:
    """Run `quantize_tensors`; yield a record after each slab of rows and at the end."""
    plan = complete(source, choices)
    check_writable(source, plan, options)
    metadata = output_metadata(source, plan, calibration, options)
    sources = [*source.files, *([options.importance_file] if options.importance_file else [])]
    with (
        create_checkpoint(
            output,
            plan,
            metadata,
            max_shard_bytes=options.max_shard_bytes,
            sources=sources,
            overwrite=options.overwrite,
        ) as writer,
        SlabReader(source) as reader,
    ):
        threads = kernels.default_threads() if threads is None else threads
        slab_encoder = SlabEncoder(source, threads, options.feedback)
        encoders = (
            TensorEncoder(
                slab_encoder,
                source.tensors[choice.name],
                choice.format,
                importance_of(choice, source, calibration),
                options.details,
            )
            for choice in plan
        )
        done, digest = 0, TensorDigest()
        for record in write_slabs(
            encoders, reader, writer, digest, encode_ahead=0 if options.feedback else ENCODE_AHEAD
        ):
            done = record.done
            yield record
        hashes, tensors = reader.sha256(), digest.hexdigest()
        writer.restate(metadata | hashes_of(hashes, tensors))
    yield OutputWritten(writer.files, writer.file_bytes, hashes, tensors, done)


def complete(source: Checkpoint, choices: Iterable[Choice]) -> list[Choice]:
    """Return a choice for each tensor, in the source's order; a tensor without one is copied."""
    chosen = {choice.name: choice for choice in choices}
    unknown = chosen.keys() - source.tensors.keys()
    if unknown:
        raise FormatError(f"{source.path} has no tensor {min(unknown)}")
    return [chosen.get(name) or copied(info) for name, info in source.tensors.items()]


def importance_of(
    choice: Choice, source: Checkpoint, calibration: Calibration | None
) -> F32 | None:
    """Return the importance of a tensor's columns; None if it is copied or has no statistics."""
    if calibration is None or not choice.changes:
        return None
    return find_importance(calibration, choice, tied=source.tied_output)


def copied(info: TensorInfo) -> Choice:
    """Return the choice that copies a tensor."""
    return Choice(
        name=info.name,
        shape=info.shape,
        source=info.format,
        wanted=info.format,
        format=info.format,
        reason="it has no choice, so it is copied",
    )


def check_writable(source: Checkpoint, choices: Iterable[Choice], options: WriteOptions) -> None:
    """Raise FormatError if these choices cannot be written.

    Raises UnsupportedModel for a file that is not a model, such as an adapter.
    """
    check_use(source.path, source, "quantize")
    if "general.architecture" not in source.metadata:
        raise FormatError(
            f"{source.path}: has no key general.architecture; open a Hugging Face folder with"
            " `open_model`"
        )
    changed = [choice for choice in choices if choice.changes]
    check_not_quantized(source, changed, requantize=options.requantize)
    check_storable(changed)
    for format in {choice.format.name: choice.format for choice in changed}.values():
        try:
            kernels.encode(format, np.zeros((1, format.block_size), np.float32))
        except FormatError as error:
            raise FormatError(f"{error}; files can be written in {writable()}") from None


def check_not_quantized(source: Checkpoint, choices: Iterable[Choice], *, requantize: bool) -> None:
    """Raise FormatError if a tensor is already quantized, unless `requantize` allows it."""
    twice = next((choice for choice in choices if choice.requantizes), None)
    if twice and not requantize:
        raise FormatError(
            f"{source.path}: {twice.name} is already quantized ({twice.source.name}), and"
            " quantizing it again adds a second loss; start from the 16-bit model, or add"
            " --requantize (in Python requantize=True)"
        )


def check_storable(choices: Iterable[Choice]) -> None:
    """Raise FormatError for a format that a GGUF file cannot hold."""
    for choice in choices:
        name = choice.format.name
        if name not in FORMATS:
            raise FormatError(
                f"{name} has no type in GGUF files; measure it in memory with `zeropoint measure"
                f" MODEL --to {name}`, or write one of {writable()}"
            )


def writable() -> str:
    """Return the names of all formats that have an encoder."""
    return ", ".join(known for known in FORMATS if kernels.has_encoder(known))
