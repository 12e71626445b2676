"""What a feature is: definitions, the fold that computes them, and their bytes.

Pure: knows no clock, no client and no framework, and needs only the standard library, orjson
and mmh3, because the Flink operators and the services both run it. Imports `schemas` alone.
Reading order: definitions, windows, aggregates, timeline, state.
"""
