"""Which format each tensor gets: presets, recipes, overrides, and the size of the result."""
