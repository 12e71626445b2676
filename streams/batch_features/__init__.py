"""Flink runs the queries of batch features over files."""
