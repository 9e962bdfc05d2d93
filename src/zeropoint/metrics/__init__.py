"""Figures that compare models: divergence, generated text, chains, tasks and speed."""
