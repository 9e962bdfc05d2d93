"""Turns words typed into calls of the verbs below and prints what they yield."""
