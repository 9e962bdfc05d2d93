"""Writes stacks of experts that a folder has in whole tensors: see `checkpoints.expert_stacks`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint, NewTensor, TensorInfo
from zeropoint.checkpoints.dtypes import DTYPES
from zeropoint.checkpoints.expert_stacks import pairs_of_halves
from zeropoint.checkpoints.families import ModelFamily
from zeropoint.checkpoints.names import JOINED_STACKS, huggingface_name
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import U8, Format
from zeropoint.quantizers.nearest import quantize

PACKED = "MXFP4"


@dataclass(frozen=True)
class FolderStack:
    """A tensor of the folder that holds the rows of one stack, or of gate and up in turn."""

    name: str  # transformers', without the ending of a bias or of blocks
    sources: tuple[TensorInfo, ...]  # the stack, or gate and up
    packed: bool = False  # its blocks are copied
    joined: bool = False  # (experts, out, in), the rows of gate and up after one another

    def tensors(self, format: Format) -> list[NewTensor]:
        """Return the tensors of the folder, whose weights are in `format` unless it is packed."""
        first = self.sources[0]
        experts, out = first.shape[0], sum(source.shape[1] for source in self.sources)
        if len(first.shape) == 2:
            return [NewTensor(f"{self.name}_bias", (experts, out), format)]
        if self.joined:
            return [NewTensor(self.name, (experts, out, first.shape[2]), format)]
        if not self.packed:
            return [NewTensor(self.name, (experts, first.shape[2], out), format)]
        shape = (experts, out, first.shape[2] // 32)
        return [
            NewTensor(f"{self.name}_blocks", (*shape, 16), DTYPES["U8"]),
            NewTensor(f"{self.name}_scales", shape, DTYPES["U8"]),
        ]

    def slabs(self, source: Checkpoint, format: Format, threads: int) -> Iterator[tuple[str, U8]]:
        """Yield the bytes of each of `tensors` with its name, one tensor after the other."""
        for part, tensor in enumerate(self.tensors(format)):
            for expert in range(tensor.shape[0]):
                yield tensor.name, self._expert(source, expert, part, format, threads)

    def _expert(
        self, source: Checkpoint, expert: int, part: int, format: Format, threads: int
    ) -> U8:
        """Return one expert's bytes of tensor number `part`."""
        rows = self.sources[0].shape[1] if len(self.sources[0].shape) == 3 else 1
        stored = [
            source.read_rows(info.name, expert * rows, (expert + 1) * rows) for info in self.sources
        ]
        if self.packed:
            blocks = np.stack([one.data.reshape(rows, -1, 17) for one in stored], axis=1)
            if part:
                return np.ascontiguousarray(blocks[..., :1]).reshape(-1, 1)
            return pairs_of_halves(np.ascontiguousarray(blocks[..., 1:])).reshape(-1, 1)
        weights = [kernels.decode(one.format, one.data, threads=threads) for one in stored]
        columns = stored[0].shape[1]
        if self.joined:
            matrix = np.concatenate(weights).reshape(-1, columns)
        elif len(self.sources[0].shape) == 2:  # biases
            matrix = np.stack(weights, axis=-1).reshape(1, -1)
        else:
            by_row = [one.reshape(rows, columns) for one in weights]
            matrix = np.stack(by_row, axis=1).reshape(-1, columns).T
        return quantize(np.ascontiguousarray(matrix), format, threads=threads).data


def find_stacks(source: Checkpoint, family: ModelFamily) -> dict[str, FolderStack]:
    """Return the folder's tensors that hold whole stacks, by the name of the first GGUF tensor.

    Blocks are copied if all stacks are MXFP4 and the family's folders may hold it. Raises
    UnsupportedModel for a gate without its up, or of another shape.
    """
    found: dict[str, FolderStack] = {}
    alternating = family.alternating_experts
    if not alternating and JOINED_STACKS not in family.roles.values():
        return found
    stacks = {
        name: info
        for name, info in source.tensors.items()
        if "_exps." in name and len(info.shape) > 1
    }
    matrices = [info for info in stacks.values() if len(info.shape) == 3]
    packed = alternating and all(info.format.name == PACKED for info in matrices)
    for name, info in stacks.items():
        layer, _, role = name.partition(".ffn_")
        at = f"model.layers.{layer.removeprefix('blk.')}.mlp.experts"
        copied = packed and len(info.shape) == 3
        if role.startswith("down_exps.") and alternating:
            found[name] = FolderStack(f"{at}.down_proj", (info,), copied)
        elif role.startswith("gate_exps."):
            up = stacks.get(name.replace("ffn_gate_exps", "ffn_up_exps"))
            if up is None or up.shape != info.shape:
                raise UnsupportedModel(f"{source.path}: {name} has no ffn_up_exps of its shape")
            joined = huggingface_name(name.replace("ffn_gate_exps", JOINED_STACKS), family)
            theirs = f"{at}.gate_up_proj" if alternating else str(joined)
            found[name] = FolderStack(theirs, (info, up), copied, joined=not alternating)
    return found


def packed_config(stacks: Iterable[FolderStack], method: str) -> dict[str, object]:
    """Return the entries of config.json for stacks that stay packed; {} if none does."""
    if not any(stack.packed for stack in stacks):
        return {}
    kept = "model.layers.*.self_attn model.layers.*.mlp.router model.embed_tokens lm_head".split()
    return {"quantization_config": {"quant_method": method, "modules_to_not_convert": kept}}
