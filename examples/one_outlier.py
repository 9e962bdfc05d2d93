"""Why formats have blocks: the damage that one outlier does to the other weights."""

import numpy as np

import zeropoint as zp

random = np.random.default_rng(0)
calm = random.standard_t(5, size=(16, 1024)).astype(np.float32)  # tails heavier than a Gaussian's
shocked = calm.copy()
shocked[3, 100] = 300

FORMATS = [
    *("INT4_SYM_TENSOR", "INT4_SYM_ROW", "INT4_SYM_G128", "INT4_SYM_G32", "INT4_ASYM_G32"),
    *("INT4_SYM_TENSOR_SEARCH", "INT4_SYM_G32_SEARCH", "NF4_G64", "FP4_E2M1_G32", "MXFP4_OCP"),
    *("NVFP4_TENSOR", "FP8_E4M3_TENSOR", "INT8_SYM_TENSOR"),
]


def error(weights: np.ndarray, name: str) -> float:
    """Return the RMS error of all weights except the outlier, relative to their RMS."""
    moved = zp.dequantize(zp.quantize(weights, name)) - weights
    ordinary = shocked == calm
    return float(np.sqrt(np.mean(moved[ordinary] ** 2) / np.mean(calm[ordinary] ** 2)))


print(f"{'':<24}{'bits per':>9}{'error without':>15}{'error with':>12}")
print(f"{'format':<24}{'weight':>9}{'outlier':>15}{'outlier':>12}")
for name in FORMATS:
    bits = zp.find_format(name).for_shape(calm.shape).bits_per_weight
    before, after = error(calm, name), error(shocked, name)
    print(f"{name:<24}{bits:>9.3f}{before:>15.1%}{after:>12.1%}")

# With one scale for the tensor nearly all codes become 0; a group of 32 keeps the damage to itself.
assert error(shocked, "INT4_SYM_TENSOR") > 0.95
assert error(shocked, "INT4_SYM_G32") < 1.2 * error(calm, "INT4_SYM_G32")
