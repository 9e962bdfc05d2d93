"""Collects what went into each layer."""
