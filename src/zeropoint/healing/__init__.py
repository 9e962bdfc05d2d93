"""Wins back the loss at the same file size."""
