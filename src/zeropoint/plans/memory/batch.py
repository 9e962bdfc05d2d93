"""Tokens of a prompt that llama.cpp computes in one forward pass."""

BATCH_TOKENS = 512  # llama.cpp's default of n_ubatch
