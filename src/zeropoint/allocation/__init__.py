"""Finds a recipe for a budget: which tensor gets which format, so that the model loses least."""
