"""The backfill: runs the stages of the velocity job over archived files, in Flink's batch mode."""
