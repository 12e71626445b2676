"""What the words mean: events, their fields, their bytes, their topics.

Imports nothing of ours and nothing heavy, because the Flink environment, the
services and the tools all run it. Everything else may import it.
"""
