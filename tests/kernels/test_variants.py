"""The same on every instruction set: each variant runs in a process of its own."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from zeropoint import kernels

DIGEST = """
import hashlib, json
import numpy as np
from zeropoint import kernels
from zeropoint.formats import FORMATS, QuantizedTensor

digests = {"variant": kernels.variant()}
for format in FORMATS.values():
    rng = np.random.default_rng(11)
    blocks = rng.integers(0, 256, (700, format.block_bytes), np.uint8)
    weights = kernels.decode(format, blocks, threads=1)
    weights[np.isnan(weights)] = np.nan  # one NaN for all
    digests["decode " + format.name] = hashlib.sha256(weights).hexdigest()
    if not kernels.has_encoder(format.name):
        continue
    shape = (40, 3 * format.block_size)
    weights = (rng.standard_t(4, shape) * np.exp2(rng.uniform(-20, 8, (40, 1)))).astype(np.float32)
    weights[weights > 60000] = 1
    importance = rng.exponential(size=shape[1]).astype(np.float32)
    for name, given in (("plain", None), ("weighted", importance)):
        blocks = kernels.encode(format, weights, given, threads=2)
        digests[f"encode {format.name} {name}"] = hashlib.sha256(blocks).hexdigest()
        stored = QuantizedTensor(FORMATS["F32"], shape, weights.view(np.uint8).reshape(-1, 4))
        found = kernels.transcode(stored, format, given, threads=2)
        assert found.blocks.tobytes() == blocks.tobytes()
        digests[f"errors {format.name} {name}"] = [found.error.hex(), found.power.hex()]
print(json.dumps(digests))
"""


@cache
def digests(variant: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", DIGEST],
        env={**os.environ, "ZEROPOINT_CPU": variant},
        capture_output=True,
        text=True,
        check=False,
    )
    if "is not supported by this machine" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("variant", ["avx2", "avx512"])
def test_a_variant_gives_the_bytes_of_the_baseline(variant: str) -> None:
    assert kernels.variant() != "numpy", "the extension is not built"
    fast, base = digests(variant), digests("baseline")
    assert (fast.pop("variant"), base["variant"]) == (variant, "baseline")
    assert fast == {key: value for key, value in base.items() if key != "variant"}


@pytest.mark.skipif(kernels.variant() == "baseline", reason="there is no lesser one")
@pytest.mark.parametrize("variant", ["baseline", "avx2"])
def test_what_holds_of_products_and_passes_holds_on_lesser_processors(variant: str) -> None:
    if kernels.variant() == variant:
        pytest.skip("this is the one that runs here")
    names = ("test_matmul.py", "test_traces.py", "test_passes.py", "test_rounding_panels.py")
    files = [str(Path(__file__).with_name(name)) for name in names]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-x", *files],
        env={**os.environ, "ZEROPOINT_CPU": variant},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
