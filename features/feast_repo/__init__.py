"""The features as Feast sees them, generated from the definitions.

A Feast repository: every Feast client can use it, and ``feast -c features/feast_repo apply``
works. Only `training.datasets.feature_store` imports it.
"""
