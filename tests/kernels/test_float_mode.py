"""Kernels compute with subnormal numbers even where a library has switched them off."""

from collections.abc import Iterator

import numpy as np
import pytest

from zeropoint import kernels
from zeropoint.formats import FORMATS


@pytest.fixture
def flushed() -> Iterator[None]:
    torch = pytest.importorskip("torch")
    if not torch.set_flush_denormal(True):
        pytest.skip("this machine cannot flush subnormals")
    yield
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("flushed")
@pytest.mark.parametrize("threads", [1, 2])
def test_subnormal_numbers_count(threads: int) -> None:
    tiny = np.float32([2.0**-127])
    assert (tiny * np.float32(0.5)).view(np.uint32)[0] == 0, "nothing is flushed here"
    format = FORMATS["MXFP4"]
    blocks = np.full((200_000 // 32, 17), 0x11, np.uint8)  # all codes are 1
    blocks[:, 0] = 0  # the least scale: 2^-128
    decoded = kernels.decode(format, blocks, threads=threads)
    assert (decoded.view(np.uint32) == 1 << 21).all()
    encoded = kernels.encode(format, decoded, threads=threads)
    again = kernels.decode(format, encoded, threads=threads)
    np.testing.assert_array_equal(again.view(np.uint32), decoded.view(np.uint32))


@pytest.mark.usefixtures("flushed")
def test_the_callers_mode_is_left_as_it_was() -> None:
    kernels.decode(FORMATS["Q8_0"], np.zeros((1, 34), np.uint8))
    assert (np.float32([2.0**-127]) * np.float32(0.5)).view(np.uint32)[0] == 0
