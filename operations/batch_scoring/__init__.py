"""Batch scoring: every row of some days, or every entity, scored into a database on Flink."""
