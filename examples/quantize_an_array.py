"""Six weights in four bits each, symmetric and asymmetric: scale, zero point, codes, error."""

import numpy as np

import zeropoint as zp

weights = np.array([-0.89, 0.16, 0.08, -0.13, 0.16, -0.54], np.float32)
print("weights          ", weights)

for name in ("INT4_SYM_TENSOR", "INT4_ASYM_TENSOR"):
    quant = zp.quantize(weights, name)
    parts = quant.parts()
    decoded = zp.dequantize(quant)
    error = np.mean(np.abs(decoded / weights - 1))

    print(f"\n{name}: {quant.nbytes} bytes")
    print("  scale          ", parts.scale[0, 0])
    if parts.zero_point is not None:
        print("  zero point     ", parts.zero_point[0, 0])
    print("  codes          ", parts.codes[0])
    print("  decoded        ", decoded)
    print(f"  mean |error|    {error:.1%}")

# The same computation by hand.
scale = np.abs(weights).max() / 7
codes = np.rint(weights / scale)
assert np.array_equal(codes, zp.quantize(weights, "INT4_SYM_TENSOR").parts().codes[0])

step = (weights.max() - weights.min()) / 15
zero_point = np.rint(-8 - weights.min() / step)
codes = np.rint(weights / step) + zero_point
assert np.array_equal(codes, zp.quantize(weights, "INT4_ASYM_TENSOR").parts().codes[0])
