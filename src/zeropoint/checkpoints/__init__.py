"""Streams tensors out of and into files, and trusts no byte."""
