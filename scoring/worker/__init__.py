"""The stream scorer: from the feature log to decisions, in Faust.

Run ``python -m scoring.worker``.
"""
