"""Typed results of every verb, their JSON, and the run store that keeps them."""
