"""Jobs that span services: parity, training runs, promotion, backfills.

Above `streams`, `scoring` and `training`, which never import each other; below `infra`.
"""
