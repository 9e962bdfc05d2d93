"""The recipe of each format that can be trained: what is rounded how, and what is not.

Embedding, output matrix, norms, attention products, softmax, residual stream, master weights and
optimizer are never rounded. Sources:

    MXFP8    Mishra et al. 2025, arXiv:2506.08027: E4M3 everywhere, scales rounded up
    MXFP6    Rouhani et al. 2023, arXiv:2310.10537: E2M3, and E3M2 for gradients
    MXFP4    Tseng et al. 2025, arXiv:2502.20586: stochastic rounding in dgrad; wgrad in bfloat16
    NVFP4    NVIDIA 2025, arXiv:2509.25149: weights in tiles of 16 × 16, stochastic rounding of
             gradients, random Hadamard transform of both operands of wgrad
    TERNARY  Ma et al. 2024, arXiv:2402.17764: inputs in 8 bits, gradients in bfloat16

An ingredient can be left out, to show what it is for.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from zeropoint.errors import FormatError
from zeropoint.formats import FORMATS
from zeropoint.formats.floats import E2M1, E2M3, E3M2, E4M3
from zeropoint.training.products import (
    BF16_RECIPE,
    HIGH_PRECISION,
    LowBitProduct,
    TrainingRecipe,
)
from zeropoint.training.rounding import (
    NVFP4_HEADROOM,
    BFloat16Rounding,
    Int8Rounding,
    MXRounding,
    NVFP4Rounding,
    TernaryRounding,
)

TILES, ROTATION, STOCHASTIC, LAST_BLOCK = "tiles", "rotation", "stochastic", "last-block"
BF16 = "BF16"
ROTATED_COLUMNS = 16


@dataclass(frozen=True)
class TrainableFormat:
    """A format of weights that a model can be trained in."""

    name: str
    recipe: TrainingRecipe
    #: What of the recipe can be left out.
    ingredients: tuple[str, ...] = ()
    #: Blocks at the end of the model that stay in bfloat16.
    high_precision_blocks: int = 0
    #: The format of GGUF that holds the weights exactly.
    stored: str = BF16
    #: Whether the model has norms before the output and down projections, as BitNet has.
    sub_norms: bool = False
    #: Factor on the learning rate of bfloat16.
    rate: float = 1.0
    #: Share of the steps with weight decay.
    decayed: float = 1.0
    #: What was left out.
    left_out: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name, and what was left out."""
        return " without ".join((self.name, *self.left_out))

    def fits(self, shape: tuple[int, ...], tokens: int) -> bool:
        """Return whether a matrix (out, in) can be trained with batches of `tokens` and stored."""
        whole = shape[-1] % FORMATS[self.stored].block_size == 0
        return whole and self.recipe.fits(shape, tokens)


def _mxfp8(left_out: frozenset[str]) -> TrainableFormat:
    product = LowBitProduct(MXRounding(E4M3), MXRounding(E4M3))
    return TrainableFormat("MXFP8", TrainingRecipe(product, product, product))


def _mxfp6(left_out: frozenset[str]) -> TrainableFormat:
    forward = LowBitProduct(MXRounding(E2M3), MXRounding(E2M3))
    backward = LowBitProduct(MXRounding(E3M2), MXRounding(E2M3))
    return TrainableFormat("MXFP6", TrainingRecipe(forward, backward, backward))


def _mxfp4(left_out: frozenset[str]) -> TrainableFormat:
    nearest = MXRounding(E2M1)
    drawn = MXRounding(E2M1, stochastic=STOCHASTIC not in left_out)
    recipe = TrainingRecipe(
        LowBitProduct(nearest, nearest), LowBitProduct(drawn, drawn), HIGH_PRECISION
    )
    return TrainableFormat(
        "MXFP4", recipe, (STOCHASTIC, LAST_BLOCK), int(LAST_BLOCK not in left_out), "MXFP4"
    )


def _nvfp4(left_out: frozenset[str]) -> TrainableFormat:
    nearest = NVFP4Rounding(E2M1)
    weights = NVFP4Rounding(E2M1, tiles=TILES not in left_out)
    drawn = nearest
    if STOCHASTIC not in left_out:
        drawn = NVFP4Rounding(E2M1, stochastic=True, headroom=NVFP4_HEADROOM)
    rotation = 0 if ROTATION in left_out else ROTATED_COLUMNS
    recipe = TrainingRecipe(
        LowBitProduct(nearest, weights),
        LowBitProduct(drawn, weights),
        LowBitProduct(drawn, nearest, rotation),
    )
    ingredients = (TILES, ROTATION, STOCHASTIC, LAST_BLOCK)
    return TrainableFormat("NVFP4", recipe, ingredients, int(LAST_BLOCK not in left_out), "NVFP4")


def _ternary(left_out: frozenset[str]) -> TrainableFormat:
    recipe = TrainingRecipe(
        LowBitProduct(Int8Rounding(), TernaryRounding()),
        LowBitProduct(BFloat16Rounding(), TernaryRounding()),
        HIGH_PRECISION,
    )
    return TrainableFormat("TERNARY", recipe, stored="TQ2_0", sub_norms=True, rate=2.0, decayed=0.5)


def _bf16(left_out: frozenset[str]) -> TrainableFormat:
    return TrainableFormat(BF16, BF16_RECIPE)


_FORMATS: Mapping[str, Callable[[frozenset[str]], TrainableFormat]] = {
    BF16: _bf16,
    "MXFP8": _mxfp8,
    "MXFP6": _mxfp6,
    "MXFP4": _mxfp4,
    "NVFP4": _nvfp4,
    "TERNARY": _ternary,
}
TRAINABLE_FORMATS = tuple(_FORMATS)


def trainable_format(name: str, left_out: frozenset[str] = frozenset()) -> TrainableFormat:
    """Return the format of this name, in any case, without some ingredients of its recipe.

    Raises FormatError for a format that cannot be trained, and for an ingredient it does not have.
    """
    make = _FORMATS.get(name.upper())
    if make is None:
        raise FormatError(
            f"{name} cannot be trained: it has no recipe for gradients; formats that have one:"
            f" {', '.join(TRAINABLE_FORMATS)}"
        )
    format = replace(make(left_out), left_out=tuple(sorted(left_out)))
    unknown = sorted(left_out - set(format.ingredients))
    if unknown:
        has = ", ".join(format.ingredients) or "none"
        raise FormatError(f"{format.name} has no ingredient {unknown[0]!r}; it has: {has}")
    return format
