"""Reads reasoning and tool calls in generated text, one parser for each written form."""
