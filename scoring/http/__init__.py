"""The HTTP service: ad-hoc scores, features as of now, first decisions.

Run ``python -m scoring.http``.
"""
