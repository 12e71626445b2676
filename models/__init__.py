"""What a model is: its files, its input vectors, its trees, the heuristic, and the policy.

Below `scoring` and `training`, which both need it; imports `features` and `schemas`.
"""
