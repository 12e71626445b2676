"""The backfill run: archive to Flink, and its results back into archive, Redis and savepoint."""
