"""Flink: transactions and labels in, feature rows and dead letters out, state into Redis."""
