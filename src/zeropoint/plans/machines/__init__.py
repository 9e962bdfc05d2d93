"""Devices and their memory, bandwidth and peak operations per second."""
