"""Reads rows of a folder's stacks of experts that are stored in another order than GGUF's.

GGUF has one stack per matrix: (experts, out, in), the gate apart from up. Folders of gpt-oss hold
both in one tensor whose rows alternate, in one of two ways:

    name                                    as 16-bit weights           as MXFP4
    mlp.experts.gate_up_proj                (experts, in, 2 · inner)    …_blocks, …_scales
    mlp.experts.down_proj                   (experts, inner, width)     …_blocks, …_scales

MXFP4 (OCP Microscaling Formats 1.0) has 32 weights per group. A folder stores the 16 bytes of the
codes of a group, (experts, out, groups, 16), and its scale, (experts, out, groups), apart; element
2i is in the low half of byte i. A block of GGUF is the scale and 16 bytes, and element i is in the
low half of byte i, element i + 16 in the high one. The codes and scales are the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from zeropoint.checkpoints.base import Checkpoint, TensorInfo
from zeropoint.checkpoints.names import GgufPlace
from zeropoint.checkpoints.tensor_sources import SourceRows, TensorSource
from zeropoint.errors import CheckpointError
from zeropoint.formats import FORMATS, U8, QuantizedTensor

GROUP = 32  # weights of a group of MXFP4
CODE_BYTES = 16  # of a group


@dataclass(frozen=True)
class TransposedRows:
    """The rows (expert, out) of a tensor that is stored as (experts, in, out)."""

    columns: int  # in
    rows: int  # out, of one expert

    def read(self, folder: Checkpoint, name: str, low: int, high: int) -> QuantizedTensor:
        """Return the rows low … high − 1 as a tensor of shape (high − low, columns)."""
        format, parts = folder.tensors[name].format, []
        for expert in range(low // self.rows, -(-high // self.rows)):
            start = expert * self.columns
            stored = folder.read_rows(name, start, start + self.columns).data
            matrix = stored.reshape(self.columns, self.rows, format.block_bytes)
            first = max(low - expert * self.rows, 0)
            last = min(high - expert * self.rows, self.rows)
            parts.append(matrix[:, first:last].transpose(1, 0, 2))
        data = np.concatenate(parts).reshape(-1, format.block_bytes)
        return QuantizedTensor(format, (high - low, self.columns), data)


@dataclass(frozen=True)
class PackedRows:
    """The rows (expert, out) of MXFP4 codes (experts, out, groups, 16); `scales` names their
    scales (experts, out, groups).
    """

    scales: str
    groups: int  # of a row

    def read(self, folder: Checkpoint, name: str, low: int, high: int) -> QuantizedTensor:
        """Return the rows low … high − 1 as a tensor of shape (high − low, columns)."""
        stored = folder.read_rows(name, low * self.groups, high * self.groups).data
        scales = folder.read_rows(self.scales, low, high).data
        blocks = np.concatenate([scales.reshape(-1, 1), halves_of_pairs(stored)], axis=1)
        return QuantizedTensor(FORMATS["MXFP4"], (high - low, GROUP * self.groups), blocks)


def halves_of_pairs(packed: U8) -> U8:
    """Return GGUF's 16 bytes of each group of codes that a folder packs in pairs: (n, 16) uint8.

    >>> halves_of_pairs(np.array([[0x10, *[0] * 7, 0x32, *[0] * 7]], np.uint8))[0, :2].tolist()
    [32, 49]
    """
    packed = packed.reshape(-1, CODE_BYTES)
    codes = np.stack([packed & 15, packed >> 4], axis=2).reshape(-1, GROUP)
    halves: U8 = codes[:, :CODE_BYTES] | codes[:, CODE_BYTES:] << 4
    return halves


def pairs_of_halves(blocks: U8) -> U8:
    """Return a folder's 16 bytes of each group of GGUF's bytes: the inverse of `halves_of_pairs`.

    >>> pairs_of_halves(np.array([[32, 49, *[0] * 14]], np.uint8))[0, ::8].tolist()
    [16, 50]
    """
    blocks = blocks.reshape(-1, CODE_BYTES)
    codes = np.concatenate([blocks & 15, blocks >> 4], axis=1)
    pairs: U8 = codes[:, ::2] | codes[:, 1::2] << 4
    return pairs


def packed_rows(folder: Checkpoint, blocks: TensorInfo) -> tuple[PackedRows, tuple[int, int]]:
    """Return the reader of a tensor of MXFP4 codes, and its (experts, out).

    Raises CheckpointError if the codes or their scales have another shape or type.
    """
    scales = folder.tensors.get(blocks.name.removesuffix("_blocks") + "_scales")
    if scales is None:
        raise CheckpointError(folder.path, "the folder has no scales of these", field=blocks.name)
    experts, rows, groups = scales.shape if len(scales.shape) == 3 else (0, 0, 0)
    expected = (experts, rows, groups, CODE_BYTES)
    if (
        blocks.shape != expected
        or 0 in expected
        or {blocks.format.name, scales.format.name} != {"U8"}
    ):
        raise CheckpointError(
            folder.path,
            f"has shape {blocks.shape} of {blocks.format.name} and scales of shape {scales.shape} "
            f"of {scales.format.name}; MXFP4 is (experts, rows, groups, 16) and (experts, rows, "
            "groups) of U8",
            field=blocks.name,
        )
    return PackedRows(scales.name, groups), (experts, rows)


def stack_experts(folder: Checkpoint, stack: str, members: Mapping[int, str]) -> TensorSource:
    """Return the stack of tensors that hold one expert each."""
    missing = [index for index in range(max(members) + 1) if index not in members]
    if missing:
        raise CheckpointError(folder.path, f"expert {missing[0]} of {stack} is missing")
    infos = [folder.tensors[members[index]] for index in range(len(members))]
    if len({info.shape for info in infos}) > 1:
        raise CheckpointError(folder.path, f"the experts of {stack} have different shapes")
    parts = [SourceRows(info.name, np.arange(info.rows)) for info in infos]
    return TensorSource((len(infos), *infos[0].shape), parts)


def split_fused(sources: dict[str, TensorSource], gate: str, name: str, info: TensorInfo) -> None:
    """Add the stacks of gate and up from a tensor (experts, 2 · inner, width)."""
    experts, both, width = info.shape
    inner = both // 2
    starts = np.arange(experts)[:, None] * both
    for offset, target in ((0, gate), (inner, gate.replace("ffn_gate_exps", "ffn_up_exps"))):
        rows = (starts + offset + np.arange(inner)).reshape(-1)
        sources[target] = TensorSource((experts, inner, width), [SourceRows(name, rows)])


def add_packed(
    sources: dict[str, TensorSource], folder: Checkpoint, place: GgufPlace, info: TensorInfo
) -> None:
    """Add the stacks of a tensor of MXFP4 codes; its scales lie in another tensor."""
    reader, (experts, rows) = packed_rows(folder, info)
    for target, every, first in place.alternating_stacks():
        numbers = np.arange(first, experts * rows, every)
        shape = (experts, rows // every, 32 * reader.groups)
        sources[target] = TensorSource(
            shape, [SourceRows(info.name, numbers, reader)], format=FORMATS["MXFP4"]
        )


def add_alternating(sources: dict[str, TensorSource], place: GgufPlace, info: TensorInfo) -> None:
    """Add the stacks of (experts, in, out) weights, or the biases of (experts, out)."""
    axes = 2 if place.name.endswith(".bias") else 3
    if len(info.shape) != axes or (place.fused and info.shape[-1] % 2):
        raise CheckpointError(
            info.file,
            f"has shape {info.shape}; a stack of experts has {axes} axes",
            field=info.name,
        )
    experts, out = info.shape[0], info.shape[-1]
    for target, every, first in place.alternating_stacks():
        if target.endswith(".bias"):
            sources[target] = TensorSource(
                (experts, out // every), [SourceRows(info.name, np.arange(experts))],
                columns=np.arange(first, out, every), as_f32=True,
            )  # fmt: skip
            continue
        width = info.shape[1]
        part = SourceRows(
            info.name, np.arange(first, experts * out, every), TransposedRows(width, out)
        )
        sources[target] = TensorSource((experts, out // every, width), [part])
