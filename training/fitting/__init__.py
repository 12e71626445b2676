"""Fits a model on a labelled table, evaluates it, and decides whether it is to be promoted."""
