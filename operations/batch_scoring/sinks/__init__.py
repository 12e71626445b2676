"""Where predictions are published: PostgreSQL, a Delta table, or a DuckDB file."""
