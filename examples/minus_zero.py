"""FP4 has 16 codes for 15 values. How much error does another meaning of −0 save?"""

import numpy as np

import zeropoint as zp

random = np.random.default_rng(1)
TENSORS = {
    "Gaussian": random.normal(size=(64, 1024)),
    "heavy tails": random.standard_t(4, size=(64, 1024)),
    "one-sided": np.abs(random.normal(size=(64, 1024))),
}
FORMATS = [
    *("FP4_E2M1_G32", "FP4_E2M1_M0_2.5_G32", "FP4_E2M1_M0_5_G32", "FP4_E2M1_M0_PM5_G32"),
    *("FP4_E2M1_M0_BEST_G32", "FP4_E2M1_M0_BEST_G128", "FP4_E2M1_G128", "INT4_ASYM_G32"),
]


def loss(weights: np.ndarray, name: str) -> float:
    """Return the squared error, relative to the sum of the squared weights."""
    moved = zp.dequantize(zp.quantize(weights, name)) - weights
    return float(np.sum(moved**2) / np.sum(weights**2))


print(f"{'squared error, %':<24}{'bits':>7}" + "".join(f"{kind:>13}" for kind in TENSORS))
for name in FORMATS:
    row = [loss(weights.astype(np.float32), name) for weights in TENSORS.values()]
    print(f"{name:<24}{zp.find_format(name).bits_per_weight:>7}", end="")
    print("".join(f"{100 * value:>13.3f}" for value in row))

weights = TENSORS["Gaussian"].astype(np.float32)
plain = loss(weights, "FP4_E2M1_G32")
either = 1 - loss(weights, "FP4_E2M1_M0_PM5_G32") / plain
best = 1 - loss(weights, "FP4_E2M1_M0_BEST_G32") / plain
print(f"""
On Gaussian weights a −0 that means 5 or −5 takes away {either:.0%} of FP4's squared error and
costs nothing: the scale's idle sign bit says which of the two. The best value takes {best:.0%},
for a byte per group. Asymmetric integers spend that byte on a zero point: ahead where
weights are Gaussian or one-sided, behind where tails are heavy.""")
assert best > either > 0.2
