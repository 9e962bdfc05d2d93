"""Finds a recipe for a budget."""
