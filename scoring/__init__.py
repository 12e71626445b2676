"""The decision: from feature rows, and from ad-hoc transactions, to what to do about them.

Imports `features` and `schemas`, never `streams` or `training`: rows come by Kafka, models by
the registry.
"""
