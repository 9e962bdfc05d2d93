"""Decides on paper: recipes, presets, sizes, memory, machines. No weight is read here."""
