"""Shared by tests and benchmarks: small models, malformed files, fakes, peers and drivers.

Tests import it as `support` (`pythonpath` in pyproject.toml). Scripts need `PYTHONPATH=tests`.
"""
