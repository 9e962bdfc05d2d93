"""A quantized model that learns from its reference, through transformers' modules.

The caller supplies what multiplies by each matrix, and so decides how its gradients are used. The
gains of the norms are parameters of the modules. Embedding and output matrix stay as they are.

This module needs torch and transformers.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from zeropoint.checkpoints import Checkpoint
from zeropoint.models.architecture import Architecture, read_architecture, tensor_names
from zeropoint.models.device import DeviceMatrix
from zeropoint.models.layer_inputs import TABLE
from zeropoint.models.modules import BlockLinear, Multiplier
from zeropoint.models.transformers_engine import StoreMatrix, TransformersEngine, finish_logits
from zeropoint.models.weights import Weights

I64 = NDArray[np.int64]


class OutputHead:
    """The output matrix of a model, from final hidden states to logits."""

    def __init__(self, architecture: Architecture, weights: Weights, device: torch.device) -> None:
        self.architecture, self._weights = architecture, weights
        self._matrix = DeviceMatrix(weights.tensor(architecture.output), device)

    @classmethod
    def open(cls, checkpoint: Checkpoint, device: torch.device, *, threads: int) -> "OutputHead":
        """Read only the output matrix of a checkpoint, and what scales its logits."""
        architecture = read_architecture(checkpoint)
        weights = Weights(checkpoint, mode="exact", threads=threads)
        extras = (architecture.output_scale, architecture.output_bias)
        weights.load([name for name in extras if name], pack=False)
        return cls(architecture, weights, device)

    def decoded(self) -> Tensor:
        """Return the (vocab, width) float32 matrix."""
        return self._matrix.weights()

    def logits(self, states: Tensor, decoded: Tensor) -> Tensor:
        """Return the (n, vocab) logits of final hidden states (n, width)."""
        products = nn.functional.linear(states, decoded)
        return finish_logits(self.architecture, self._weights, products)


class StudentModel:
    """A quantized model that computes hidden states through which gradients flow."""

    def __init__(
        self, checkpoint: Checkpoint, store: StoreMatrix, *, device: str, threads: int
    ) -> None:
        """`store` makes what multiplies by a matrix. Raises UnsupportedModel."""
        self.architecture = read_architecture(checkpoint)
        weights = Weights(checkpoint, mode="exact", threads=threads)
        weights.load(sorted(tensor_names(self.architecture) - {TABLE}), pack=False)
        self._weights = weights

        def keep(linear: BlockLinear, on: torch.device) -> Multiplier | None:
            return None if linear.name == self.architecture.output else store(linear, on)

        self._engine = TransformersEngine(self.architecture, weights, device, keep)
        self._engine.module.requires_grad_(False)
        self.device = self._engine.device
        self.head = OutputHead(self.architecture, weights, self.device)
        #: The gains of the norms by GGUF name, and what the file adds to each.
        self.norms: dict[str, tuple[nn.Parameter, float]] = self._engine.norms()

    def states(self, tokens: I64) -> Tensor:
        """Return the normed final hidden states (batch, n, width) of sequences (batch, n).

        Gradients flow back to all matrices and norms: the embeddings count as inputs that need one.
        """
        embedding = self._engine.module.get_input_embeddings()
        embeddings = embedding(torch.from_numpy(tokens).to(self.device))
        looked_up = self._weights.look_up(self.architecture.inputs, tokens)
        embeddings.requires_grad_(torch.is_grad_enabled())
        return self._engine.states(embeddings, looked_up)
