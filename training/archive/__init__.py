"""The archive: Kafka's logs as Delta tables, exactly once, by day of event time.

Derived from the logs, which give the same rows again as long as they are there. If they are lost,
it is the only copy.
"""
