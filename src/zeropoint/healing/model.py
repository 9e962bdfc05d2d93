"""The model that is healed: matrices with scales that can be trained, and gains of norms."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from zeropoint.checkpoints import Checkpoint
from zeropoint.formats import U8
from zeropoint.formats.rescale import can_rescale
from zeropoint.healing.latents import StoredNumbers
from zeropoint.healing.linear import RescaledMatrix
from zeropoint.models.device import DeviceMatrix
from zeropoint.models.modules import BlockLinear, Multiplier
from zeropoint.models.student import I64, StudentModel


class HealedModel:
    """A quantized model, the stored numbers that can be trained, and their blocks."""

    def __init__(self, checkpoint: Checkpoint, *, device: str, threads: int) -> None:
        self.matrices: dict[tuple[str, int | None], RescaledMatrix] = {}
        self.model = StudentModel(checkpoint, self._store, device=device, threads=threads)
        self.norms = {
            name: StoredNumbers(name, parameter.detach() + shift, _as_float32)
            for name, (parameter, shift) in self.model.norms.items()
            if checkpoint.tensors[name].format.name == "F32"
        }

    def numbers(self) -> Iterator[StoredNumbers]:
        """Yield all numbers that can be trained, always in the same order."""
        for key in sorted(self.matrices, key=lambda key: (key[0], key[1] or 0)):
            yield from self.matrices[key].numbers
        yield from self.norms.values()

    def states(self, tokens: I64) -> Tensor:
        """Return the final hidden states (batch, n, width) with the current numbers."""
        for name, one in self.norms.items():
            parameter, shift = self.model.norms[name]
            parameter.requires_grad_(one.gradient is not None)
            with torch.no_grad():
                parameter.copy_((one.values - shift).reshape(parameter.shape))
        return self.model.states(tokens)

    def collect_norms(self) -> None:
        """Move the gradients of the norms from transformers' modules to the numbers."""
        for name, one in self.norms.items():
            parameter = self.model.norms[name][0]
            if parameter.grad is not None:
                one.add_gradient(parameter.grad)
                parameter.grad = None

    def blocks(self) -> dict[str, U8]:
        """Return the current blocks of each tensor that can be trained, by GGUF name."""
        parts: dict[str, list[U8]] = {}
        for name, expert in sorted(self.matrices, key=lambda key: (key[0], key[1] or 0)):
            parts.setdefault(name, []).append(self.matrices[name, expert].pack())
        found = {name: np.concatenate(blocks) for name, blocks in parts.items()}
        for name, one in self.norms.items():
            found[name] = one.values.cpu().numpy().reshape(-1, 1).view(np.uint8)
        return found

    def _store(self, linear: BlockLinear, device: torch.device) -> Multiplier:
        key = (linear.name, linear.expert)
        if key in self.matrices:
            return self.matrices[key]
        tensor = linear.stored()
        if can_rescale(tensor.format):
            expert = "" if linear.expert is None else f" {linear.expert}"
            matrix = RescaledMatrix(linear.name + expert, tensor, device)
            if all(bool(one.values.isfinite().all()) for one in matrix.numbers):
                self.matrices[key] = matrix
                return matrix
        return DeviceMatrix(tensor, device)


def _as_float32(values: Tensor) -> Tensor:
    """Return what an F32 tensor stores."""
    return values.float()
