"""The Flink jobs: the velocity job computes features in the stream, the backfill from the archive.

Each has a folder; ``jvm`` holds the Java classes of both.
"""
