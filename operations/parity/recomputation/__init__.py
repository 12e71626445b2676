"""The recomputation: folds the logged transactions and labels again and compares the feature log.

Knows no Kafka; it is handed decoded rows and labels.
"""
