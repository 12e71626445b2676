"""Turns feature rows, or a table of them, into the input vectors of a model."""
