"""Predicted tokens per second, from bandwidth, peak operations and measured runs."""
