"""The controller of rollouts: counts decisions and labels, judges, and writes the next change.

``python -m operations.rollouts.controller`` runs it. `follow` is the loop, `counting` the counts of
one rollout with its places in the logs, `acting` the changes it writes.
"""
