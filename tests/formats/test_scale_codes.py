"""Scales and minimums as codes: each factor changes the weights in proportion."""

import numpy as np
import pytest

from zeropoint.formats import FORMATS
from zeropoint.formats.point_codes import has_points
from zeropoint.formats.recode import can_recode
from zeropoint.formats.scale_codes import scale_codes

NAMES = [name for name, format in FORMATS.items() if can_recode(format) or has_points(format)]


def blocks_with_tame_scales(name: str) -> np.ndarray:
    format = FORMATS[name]
    random = np.random.default_rng(5)
    blocks = random.integers(0, 256, (100, format.block_bytes), dtype=np.uint8)
    for kind in scale_codes(format):
        factors = np.exp(random.normal(1, 1, (100, len(kind.places))))
        blocks = kind.store(blocks, kind.nearest(factors))
    return blocks


@pytest.mark.parametrize("name", NAMES)
def test_scale_and_minimum_are_products_of_the_factors(name: str) -> None:
    format, blocks = FORMATS[name], blocks_with_tame_scales(name)
    parts = format.parts(blocks)
    products = {False: np.ones(parts.scale.shape), True: np.ones(parts.scale.shape)}
    for kind in scale_codes(format):
        factors = kind.factors[kind.load(blocks)].astype(np.float64)
        repeats = parts.scale.shape[1] // factors.shape[1]
        products[kind.minimum] *= np.repeat(factors, repeats, axis=1)
    constant = {"IQ2_XXS": 0.25, "IQ2_XS": 0.25, "IQ2_S": 0.25, "IQ3_XXS": 0.5}.get(name, 1)
    assert np.array_equal(parts.scale, constant * products[False])
    if parts.minimum is not None:
        sign = -1 if name.endswith("_K") else 1
        assert np.array_equal(parts.minimum, sign * products[True])


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_code_is_loaded_and_changes_no_other_bit(name: str) -> None:
    format = FORMATS[name]
    random = np.random.default_rng(6)
    blocks = random.integers(0, 256, (50, format.block_bytes), dtype=np.uint8)
    for kind in scale_codes(format):
        width = sum(piece.width for piece in kind.places[0])
        codes = random.integers(0, 1 << width, (50, len(kind.places)), dtype=np.int32)
        stored = kind.store(blocks, codes)
        assert np.array_equal(kind.load(stored), codes)
        assert np.array_equal(kind.store(stored, kind.load(blocks)), blocks)
        assert kind.columns * len(kind.places) == format.block_size


@pytest.mark.parametrize("name", NAMES)
def test_the_nearest_code_has_the_nearest_factor(name: str) -> None:
    for kind in scale_codes(FORMATS[name]):
        used = kind.factors[np.isfinite(kind.factors)].astype(np.float64)
        wanted = np.random.default_rng(7).normal(0, 5, 40)
        found = kind.factors[kind.nearest(wanted)]
        best = np.abs(used[:, None] - wanted).min(axis=0)
        # The middles are rounded to float32.
        assert np.allclose(np.abs(found - wanted), best, rtol=1e-6, atol=1e-6)
