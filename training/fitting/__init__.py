"""Fitting: from a data set to a candidate, its figures, and the verdict about it."""
