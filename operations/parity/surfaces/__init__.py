"""The copies of the features, one module each, compared with what the recomputation gives.

No module here reads a service: each is handed what was read.
"""
