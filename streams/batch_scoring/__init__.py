"""Batch scoring in Flink: parts of a table in, scores out, part by part."""
