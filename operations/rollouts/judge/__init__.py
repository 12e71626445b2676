"""What should happen to a rollout next, and why: pure judgements of its state.

``judgement.judge`` is the face; there is one file for each strategy that needs one.
"""
