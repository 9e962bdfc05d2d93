"""Turns weights into blocks by a recipe."""
