"""The engine: folds events into the state of one entity and reads feature values from it.

The definitions reach it as data. All code that computes a velocity feature calls this package.
"""
