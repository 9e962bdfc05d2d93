"""Writes a checkpoint tensor by tensor; it appears complete or not at all.

A single file is written under another name and renamed at the end (see `atomic`). No file system
can replace a set of shards at once, so a set never replaces a file: its names must be free. Its
files are renamed one by one and its key file last: the first shard of a GGUF, the index of
safetensors. Without the key file the set cannot be opened. The partial key file is created first
and locked until everything is published, so it claims the whole set. If the process dies between
two renames, the next run learns from that file which shards to remove (see `cleanup`).
"""

import os
import resource
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from zeropoint.checkpoints.files import file_ops as io
from zeropoint.checkpoints.files.atomic import PartialFile, check_space, check_target, plain_errors
from zeropoint.checkpoints.files.cleanup import remove_leftovers
from zeropoint.checkpoints.gguf_layout import plan_gguf
from zeropoint.checkpoints.layout import ByteSpan, FileLayout, TensorLike
from zeropoint.checkpoints.safetensors_layout import plan_safetensors
from zeropoint.errors import CheckpointError
from zeropoint.formats import U8, QuantizedTensor

OTHER_DESCRIPTORS = 64  # open files other than the parts of a set: sources, libraries, the terminal


def create_checkpoint(
    path: Path | str,
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    *,
    max_shard_bytes: int | None = None,
    sources: Sequence[Path] = (),
    overwrite: bool = True,
) -> "CheckpointWriter":
    """Begin a GGUF or safetensors file (by its suffix) of these tensors, in this order.

        with create_checkpoint(path, tensors, metadata, sources=source.files) as writer:
            for tensor in tensors:
                writer.write(tensor.name, blocks)  # whole, or slab after slab

    `sources` are the files that the data comes from: the output must not be one of them. Without
    `overwrite` the output must not exist. With `max_shard_bytes` a larger output becomes
    NAME-00001-of-0000N.SUFFIX and so on, and replaces nothing. The output is there when the block
    ends without an exception, and is not before.

    Raises CheckpointError or NotEnoughSpace before anything is written.
    """
    target = Path(path)
    plan = plan_files(target, tensors, metadata, max_shard_bytes)
    if len(plan.files) == 1:
        # A link is kept; its target is replaced.
        resolved = Path(os.path.realpath(path))
        plan = replace(plan, files=(replace(plan.files[0], path=resolved),))
    return CheckpointWriter(target, plan, sources, overwrite=overwrite)


def plan_files(
    path: Path,
    tensors: Sequence[TensorLike],
    metadata: Mapping[str, object],
    max_shard_bytes: int | None = None,
) -> FileLayout:
    """Return the layout of a GGUF or safetensors output, by the suffix of its name; writes nothing.

    `plan_files(...).size` is the size of the output in bytes.
    """
    if path.suffix == ".gguf":
        return plan_gguf(path, tensors, metadata, max_shard_bytes)
    if path.suffix == ".safetensors":
        return plan_safetensors(path, tensors, metadata, max_shard_bytes)
    raise CheckpointError(
        path,
        "the name of an output must end in .gguf or .safetensors"
        " (or, for a Hugging Face folder, have no suffix)",
    )


class CheckpointWriter:
    """Writes the tensors of a `FileLayout` in order. Created by `create_checkpoint`."""

    def __init__(
        self, target: Path, plan: FileLayout, sources: Sequence[Path], *, overwrite: bool = True
    ) -> None:
        self.target = target
        self.plan = plan
        self.files = tuple(file.path for file in plan.files)
        self.file_bytes = plan.size
        self._spans = [
            (index, span) for index, file in enumerate(plan.files) for span in file.spans
        ]
        self._next = 0  # index into _spans
        self._done = 0  # bytes of that tensor
        self._parts: dict[int, PartialFile] = {}
        self._sources = sources
        self._overwrite = overwrite
        self._check_targets()
        _check_descriptors(target, len(self.files))
        check_space(self.files[0].parent, target, plan.size)

    @property
    def is_set(self) -> bool:
        """Whether the output is more than one file."""
        return len(self.files) > 1

    def write(self, name: str, data: U8 | QuantizedTensor) -> None:
        """Write the next bytes of the current tensor; a tensor may be written in many slabs.

        Raises ValueError for another tensor than the current one, or for more bytes than it has.
        """
        if self._next == len(self._spans):
            raise ValueError(f"{name} comes after the last tensor")
        index, span = self._spans[self._next]
        if isinstance(data, QuantizedTensor):
            if data.format.name != span.tensor.format.name:
                raise ValueError(f"{name} is {data.format.name}, not {span.tensor.format.name}")
            data = data.data
        if name != span.tensor.name:
            raise ValueError(f"{name} comes where {span.tensor.name} belongs")
        if data.dtype != np.uint8 or self._done + data.size > span.nbytes:
            left = span.nbytes - self._done
            raise ValueError(f"{name} takes {left} more bytes, got {data.size} of {data.dtype}")
        part = self._part(index)
        if data.size:
            part.write(np.ascontiguousarray(data), span.offset + self._done)
        self._done += data.size
        if self._done == span.nbytes:
            self._end_tensor(index, span, part)

    def restate(self, metadata: Mapping[str, object]) -> None:
        """Write other metadata of the same length, for values known only after the tensors.

        Raises ValueError if any byte of a tensor would move.
        """
        tensors = [span.tensor for file in self.plan.files for span in file.spans]
        plan = plan_files(self.target, tensors, metadata, self.plan.limit)
        if [file.spans for file in plan.files] != [file.spans for file in self.plan.files]:
            raise ValueError("the new metadata has another length than the old metadata")
        self._part(plan.key).write(plan.files[plan.key].header, 0)

    def __enter__(self) -> Self:
        with plain_errors(self.target):
            remove_leftovers(self.target if self.is_set else self.files[0])
        try:
            self._part(self.plan.key)  # it claims the whole set
            # After the claim, because another process may have completed this output until now.
            self._check_free(self.files)
            self._check_targets()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._publish()
        finally:
            self._discard()

    def _check_targets(self) -> None:
        overwrite = self._overwrite or self.is_set  # a set replaces nothing: see _check_free
        for path in self.files:
            check_target(path, self._sources, overwrite=overwrite)

    def _discard(self) -> None:
        """Remove the parts that were not published, and release all locks."""
        for index in sorted(self._parts, key=self.plan.key.__eq__):  # the key file's part last
            self._parts[index].discard()

    def _part(self, index: int) -> PartialFile:
        """Return the part of a file, with its header written."""
        if index not in self._parts:
            file = self.plan.files[index]
            part = self._parts[index] = PartialFile(file.path)
            part.write(file.header, 0)
        return self._parts[index]

    def _end_tensor(self, index: int, span: ByteSpan, part: PartialFile) -> None:
        if span.padding:
            part.write(bytes(span.padding), span.offset + span.nbytes)
        self._next += 1
        self._done = 0
        last = self._next == len(self._spans) or self._spans[self._next][0] != index
        if last and index != self.plan.key:
            part.finish()

    def _publish(self) -> None:
        if self._next < len(self._spans):
            missing = self._spans[self._next][1].tensor.name
            raise ValueError(f"{missing} and what follows it was not written")
        key = self._part(self.plan.key)
        key.finish()
        try:
            for index, part in self._parts.items():
                if index != self.plan.key:
                    self._check_free([part.target])
                    part.rename()
            if self.is_set:
                self._sync_names()
                self._check_free([key.target])
            key.rename()
        except BaseException:
            # No shard existed before. If the key file has its final name, everything is published.
            for part in () if key.is_named else self._parts.values():
                part.withdraw()
            raise
        self._sync_names()

    def _check_free(self, paths: Iterable[Path]) -> None:
        """Raise CheckpointError if a file of a set would replace another one."""
        for path in paths if self.is_set else ():
            if os.path.lexists(path):
                reason = (
                    "exists, and a set of files replaces none; remove it or choose another name"
                )
                raise CheckpointError(path, reason)

    def _sync_names(self) -> None:
        with plain_errors(self.target):
            io.fsync_dir(self.files[0].parent)


def _check_descriptors(target: Path, files: int) -> None:
    """Refuse a set of more files than may be open: a part stays locked until all are complete."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit != resource.RLIM_INFINITY and files > max(limit - OTHER_DESCRIPTORS, 1):
        raise CheckpointError(
            target,
            f"would become {files:,} files, and this process may have {limit:,} files open; "
            "make the shards larger, or raise the limit with `ulimit -n`",
        )
