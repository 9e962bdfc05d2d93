"""Runs code that a model wrote, in a process without access to files, network or programs."""
