"""From a feature row, or a table of them, to the vectors that a model takes."""
