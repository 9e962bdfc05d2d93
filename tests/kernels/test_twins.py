"""Every kernel gives the bits of its numpy twin."""

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.formats import FORMATS, Format

ALL = pytest.mark.parametrize("format", FORMATS.values(), ids=lambda f: f.name)


@ALL
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_decode_equals_the_specification_on_any_bytes(format: Format, threads: int) -> None:
    """Any byte string is a valid block: files come from anywhere. NaN equals NaN."""
    assert kernels.has_decoder(format.name)
    data = np.random.default_rng(7).integers(0, 256, (3000, format.block_bytes), dtype=np.uint8)
    fast, slow = kernels.decode(format, data, threads=threads), format.decode_blocks(data)
    same = (fast.view(np.uint32) == slow.view(np.uint32)) | (np.isnan(fast) & np.isnan(slow))
    assert same.all(), np.argwhere(~same)[:3]
