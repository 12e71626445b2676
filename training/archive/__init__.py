"""The archive: Kafka's logs as Delta tables, exactly once, by day of event time.

Derived state: it can be deleted and rebuilt from the logs, with the same rows.
"""
