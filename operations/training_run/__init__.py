"""The training run: rows in, a registered version out, champion if it is better and parity is 0."""
