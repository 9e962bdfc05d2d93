"""Gives logits for tokens, from the reference or from a quant."""
