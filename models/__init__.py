"""What a model is: its interface, its files, its input vectors, the heuristic and the policy.

Below `scoring` and `training`, which both use it; imports `features` and `schemas`.
"""
