"""The backfill: the same folds over archived files, in Flink's batch mode."""
