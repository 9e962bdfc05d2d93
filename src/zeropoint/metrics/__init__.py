"""Compares two models on the same tokens."""
