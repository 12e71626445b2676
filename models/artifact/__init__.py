"""The files of a registered model version: what is in them, how they are written and loaded."""
