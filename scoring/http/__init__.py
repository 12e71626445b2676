"""The HTTP service: ad-hoc scores, features as of now, first decisions.

`routes` holds the routes, `answers` the models of what they return, `deps` what is injected into
them, `problems` the responses to errors. Run ``python -m scoring.http``.
"""
