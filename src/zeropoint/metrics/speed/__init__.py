"""Tokens per second of prompt processing and generation, and the bounds they are compared with."""
