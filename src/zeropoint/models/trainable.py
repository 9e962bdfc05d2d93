"""A decoder whose tensors are torch parameters, for training: transformers' modules.

Every tensor keeps its name and its order of rows and columns in the file, so that what is trained
has the blocks that are written.

This module needs torch and transformers.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from zeropoint import kernels
from zeropoint.checkpoints import Checkpoint
from zeropoint.checkpoints.names import find_place, role_of
from zeropoint.errors import UnsupportedModel
from zeropoint.formats import F32, QuantizedTensor
from zeropoint.models.architecture import read_architecture, tensor_names
from zeropoint.models.modules import BlockEmbedding, BlockLinear
from zeropoint.models.transformers_engine import TransformersEngine
from zeropoint.models.weights import Weights

#: Returns x · Wᵀ, (tokens, out), for x (tokens, in) and a weight (out, in).
MatrixProduct = Callable[[Tensor, Tensor], Tensor]


class TrainableModel:
    """The layers of a checkpoint with parameters in float32.

    `product` returns what multiplies by the matrix of a name; the output matrix is always
    multiplied in float32. Raises UnsupportedModel for mixtures of experts and for layers without
    attention.
    """

    def __init__(self, checkpoint: Checkpoint, product: Callable[[str], MatrixProduct]) -> None:
        self.architecture = read_architecture(checkpoint)
        for layer in self.architecture.layers:
            if layer.experts or not layer.attention:
                kind = "mixtures of experts" if layer.experts else "layers without attention"
                raise UnsupportedModel(f"{checkpoint.path}: {kind} cannot be trained")
        self._weights = Weights(checkpoint, mode="exact", threads=1)
        names = tensor_names(self.architecture)
        self._weights.load(sorted(names), pack=False)
        self._engine = TransformersEngine(self.architecture, self._weights)
        #: All parameters by the name of their tensor in the file.
        self.parameters: dict[str, nn.Parameter] = {}
        self._shifts: dict[str, float] = {}
        self._train_vectors()
        self._train_matrices(product)

    def logits(self, tokens: Tensor) -> Tensor:
        """Return (batch, n, vocabulary) logits of (batch, n) token ids."""
        embedding = self._engine.module.get_input_embeddings()
        states = self._engine.states(embedding(tokens))
        return self._engine.logits(states)

    def stored(self, name: str) -> F32:
        """Return the values of a tensor as the file holds them."""
        values = self.parameters[name].detach().cpu().numpy()
        return values + np.float32(self._shifts.get(name, 0.0))

    def _train_vectors(self) -> None:
        family = self._engine.family
        for name, parameter in self._engine.module.named_parameters():
            place = find_place(name, family)
            if place is not None:
                self.parameters[place.name] = parameter.requires_grad_(True)
                self._shifts[place.name] = family.norm_shift(role_of(place.name))

    def _train_matrices(self, product: Callable[[str], MatrixProduct]) -> None:
        module = self._engine.module
        table = module.get_input_embeddings()
        module.set_input_embeddings(TrainedEmbedding(table, self._matrix(table.name)))
        for parent in list(module.modules()):
            for child, linear in list(parent.named_children()):
                if isinstance(linear, BlockLinear):
                    name = linear.name
                    output = name == self.architecture.output
                    multiply = nn.functional.linear if output else product(name)
                    trained = TrainedLinear(linear, self._matrix(name, linear.scale), multiply)
                    setattr(parent, child, trained)
                    if trained.bias is not None:
                        self.parameters[name.removesuffix("weight") + "bias"] = trained.bias

    def _matrix(self, name: str, scale: float = 1.0) -> nn.Parameter:
        if name not in self.parameters:
            tensor = self._weights.checkpoint.read(name)
            values = np.float32(scale) * _decoded(tensor)
            self.parameters[name] = nn.Parameter(torch.from_numpy(values))
        return self.parameters[name]


class TrainedLinear(nn.Module):
    """A `BlockLinear` with a weight that is a parameter, and its bias."""

    def __init__(self, linear: BlockLinear, weight: nn.Parameter, product: MatrixProduct) -> None:
        super().__init__()
        self.weight, self.product = weight, product
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias)
        self.order, self.columns = linear.order, linear.columns

    def forward(self, x: Tensor) -> Tensor:
        """Return (…, out) for x of shape (…, in)."""
        if self.columns is not None:
            x = x[..., self.columns]
        y = self.product(x.reshape(-1, x.shape[-1]), self.weight)
        if self.bias is not None:
            y = y + self.bias
        if self.order is not None:
            y = y[..., self.order]
        return y.reshape(*x.shape[:-1], -1)


class TrainedEmbedding(nn.Module):
    """A `BlockEmbedding` whose table is a parameter."""

    def __init__(self, table: BlockEmbedding, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight, self.scale = weight, table.scale

    def forward(self, ids: Tensor) -> Tensor:
        """Return (…, width) embeddings for (…) token ids."""
        return nn.functional.embedding(ids, self.weight) * self.scale


def _decoded(tensor: QuantizedTensor) -> F32:
    flat = kernels.decode(tensor.format, tensor.data, threads=1)
    return flat.reshape(tensor.shape).astype(np.float32)
