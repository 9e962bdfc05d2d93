"""The stages of healing: which numbers each of them trains, from few to many.

    gain      one factor for each matrix: it multiplies every d, and every minimum
    factors   d and dmin of each block of 256; in formats with one scale per block, d and m
    scales    the small integers that d and dmin are multiplied with, and the scales of NVFP4
    norms     the gains of the norms, together with each of the other stages

The learning rates are for α of `latents`: relative to the number, or in steps of an integer.
"""

from collections.abc import Iterator, Sequence

import torch

from zeropoint.formats.scale_codes import ScaleCodes
from zeropoint.healing.latents import Latent, StoredNumbers
from zeropoint.healing.linear import RescaledMatrix
from zeropoint.healing.model import HealedModel
from zeropoint.healing.records import Rates

STAGES = ("gain", "factors", "scales", "norms")
#: How the steps are divided among the stages.
SHARES = {"gain": 1, "factors": 4, "scales": 4, "norms": 2}
RELATIVE_LIMIT = 0.49  # of α: no number changes its sign or becomes 0


def stage_names(stages: Sequence[str]) -> list[str]:
    """Return the stages that run one after another; norms are trained within each of them."""
    return [name for name in STAGES[:-1] if name in stages] or ["norms"]


def stage_latents(model: HealedModel, stage: str, *, norms: bool, rates: Rates) -> list[Latent]:
    """Return what a stage trains; an empty list if the formats of the model have nothing for it."""
    found: list[Latent] = []
    for matrix in model.matrices.values():
        found += matrix_latents(matrix, stage, rates)
    if (norms and found) or stage == "norms":
        for one in model.norms.values():
            unit = one.values.abs().mean().reshape(1)
            found.append(Latent([one], [unit], rate=rates.norms))
    return found


def matrix_latents(matrix: RescaledMatrix, stage: str, rates: Rates) -> Iterator[Latent]:
    """Yield what a stage trains of one matrix."""
    pairs = list(zip(matrix.kinds, matrix.numbers, strict=True))
    coarse = [pair for pair in pairs if pair[0].columns == matrix.format.block_size]
    if stage == "gain":
        every = [one for _, one in (coarse or pairs)]
        units = [one.values for one in every]
        yield Latent(every, units, shared=True, rate=rates.gain, limit=RELATIVE_LIMIT)
    elif stage == "factors":
        for kind, one in coarse:
            # A minimum of its own may be near 0, so it moves in parts of the scale.
            own = kind.minimum and matrix.groups == 1
            unit = coarse[0][1].values.abs() if own else one.values
            yield Latent([one], [unit], rate=rates.factors, limit=RELATIVE_LIMIT)
    elif stage == "scales":
        for kind, one in pairs:
            if kind.columns != matrix.format.block_size:
                yield _fine(kind, one, rates)


def _fine(kind: ScaleCodes, one: StoredNumbers, rates: Rates) -> Latent:
    """Return the latent of group scales: integers in steps of one, others relative."""
    factors = torch.from_numpy(kind.factors[kind.ascending[0]])
    if bool((factors.diff() == factors.diff()[0]).all()):
        step = factors.diff()[:1].to(one.values.device)
        ends = float(factors[0]), float(factors[-1])
        return Latent([one], [step], rate=rates.integers, ends=ends)
    return Latent([one], [one.values], rate=rates.bytes, limit=RELATIVE_LIMIT)
