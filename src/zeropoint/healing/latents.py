"""Numbers that are trained, and what of them a file can store.

A latent α belongs to numbers f of a file: the factors of scale codes (`formats.scale_codes`), or
the gains of a norm. With the numbers f⁰ before the training, and a unit u for each of them,

    f = Π(f⁰ + u · α)

where Π is the nearest number that can be stored. α starts at 0, so training starts from the file.
The gradient goes straight through Π: ∂L/∂α = Σ u · ∂L/∂f, summed over the numbers that share an α.
α is float32 and is kept between steps, so steps below half a unit of storage add up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zeropoint.formats.scale_codes import ScaleCodes

Projection = Callable[[Tensor], Tensor]


class FactorProjection:
    """The nearest factor that can be stored: the torch twin of `ScaleCodes.project`."""

    def __init__(self, kind: ScaleCodes, device: torch.device) -> None:
        codes, middles = kind.ascending
        self.factors = torch.from_numpy(kind.factors[codes]).to(device)
        self.middles = torch.from_numpy(middles).to(device)

    def __call__(self, factors: Tensor) -> Tensor:
        return self.factors[torch.searchsorted(self.middles, factors.contiguous())]


@dataclass
class StoredNumbers:
    """Numbers of one kind in one tensor, as the file stores them: the state that is trained."""

    #: "blk.0.ffn_up.weight 1": the tensor, and the kind or expert.
    name: str
    values: Tensor
    project: Projection
    #: ∂L/∂values of the current step; None while nothing trains them.
    gradient: Tensor | None = None

    def add_gradient(self, gradient: Tensor) -> None:
        """Add to ∂L/∂values, if they are trained."""
        if self.gradient is not None:
            self.gradient += gradient.reshape(self.gradient.shape)


class Latent:
    """α for some stored numbers: one for each of them, or one that all share."""

    def __init__(
        self,
        numbers: Sequence[StoredNumbers],
        units: Sequence[Tensor],
        rate: float,
        *,
        shared: bool = False,
        limit: float | None = None,
        ends: tuple[float, float] | None = None,
    ) -> None:
        """`units` has u for each of `numbers`, and `rate` is the learning rate of α.

        Without `shared`, `numbers` has one entry. |α| stays at most `limit`, and the numbers stay
        within `ends`.
        """
        self.name = numbers[0].name
        self.numbers, self.units, self.rate = numbers, units, rate
        self._limit, self._ends = limit, ends
        self.base = [one.values for one in numbers]
        shape = (1,) if shared else self.base[0].shape
        self.alpha = torch.zeros(shape, device=self.base[0].device)
        for one in numbers:
            one.gradient = torch.zeros_like(one.values)

    def collect(self) -> None:
        """Move the gradients of the stored numbers to α."""
        total = torch.zeros_like(self.alpha)
        for one, unit in zip(self.numbers, self.units, strict=True):
            assert one.gradient is not None
            along = one.gradient * unit
            total += along.sum() if self.alpha.shape != along.shape else along
            one.gradient.zero_()
        self.alpha.grad = total

    def apply(self) -> None:
        """Set the stored numbers to what the file would store for α; α is limited first."""
        if self._limit is not None:
            self.alpha.clamp_(-self._limit, self._limit)
        if self._ends is not None:
            low, high = ((end - self.base[0]) / self.units[0] for end in self._ends)
            torch.clamp(self.alpha, low, high, out=self.alpha)
        for one, base, unit in zip(self.numbers, self.base, self.units, strict=True):
            one.values = one.project(base + unit * self.alpha)

    def release(self) -> None:
        """End the training of the stored numbers."""
        for one in self.numbers:
            one.gradient = None
