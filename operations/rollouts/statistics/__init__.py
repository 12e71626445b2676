"""The statistics of rollouts, one file for each idea; pure numpy, O(1) memory.

Sequential ones are valid at every event, however often they are looked at and whenever the rollout
is stopped. They are updated by batches in the order of the log, and the result does not depend on
how the log was cut into batches. docs/rollouts.md says in words what the numbers mean.
"""
