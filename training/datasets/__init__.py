"""Data sets: feature rows joined with labels and batch features, and where they are logged."""
