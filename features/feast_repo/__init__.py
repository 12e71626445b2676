"""The features as Feast sees them, generated from the definitions.

A Feast repository: ``feast -c features/feast_repo apply`` works for anybody who has Feast. Nothing
of the stream imports it.
"""
