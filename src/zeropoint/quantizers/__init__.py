"""Turns weights into blocks by a recipe; never imports torch."""

from zeropoint.quantizers.nearest import dequantize, quantize

__all__ = ["dequantize", "quantize"]
