"""Parity: recomputes every feature from the logs and compares the result with every copy of it.

`sources` reads the copies, `recomputation` folds the logs again, `surfaces` compares one kind of
copy each, `report` holds the counts and `run` puts the parts in order.
"""
