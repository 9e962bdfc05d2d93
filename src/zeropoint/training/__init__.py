"""Trains small models in low bits: products in MX, NVFP4 and ternary formats, with gradients."""
