"""Data sets: feature rows joined in time with labels and batch features; batch features online."""
