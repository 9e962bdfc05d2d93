"""The options of every verb, with their defaults; importing them loads nothing heavy."""
