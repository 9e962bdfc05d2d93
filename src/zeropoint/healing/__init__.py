"""Wins back the loss of a quantized file at the same size: trains its scales and norms."""
