"""The archive: Kafka's logs as Delta tables, exactly once, by day of event time.

Derived state: it can be thrown away and is rebuilt from the logs, row by row the same.
"""
