"""All in one Faust application: two agents, a table each with its changelog topic.

As its documentation writes it: one event at a time, `group_by` through a topic of its own.
At least once; tables in memory, restored from their changelogs.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import faust
import mode.loop
import work

mode.loop.use("uvloop")
app = faust.App(
    work.GROUP,
    broker=f"kafka://{work.BOOTSTRAP}",
    datadir=work.STATE_DIR,
    store="memory://",
    topic_partitions=work.PARTITIONS,
    topic_disable_leader=True,
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    producer_linger=0.005,
)
transactions = app.topic(work.TOPIC_IN, value_serializer="json", key_type=bytes)
by_merchant = app.topic(
    f"{work.GROUP}-by-merchant", partitions=work.PARTITIONS, value_serializer="json"
)
decisions = app.topic(work.TOPIC_OUT, value_serializer="json", key_type=bytes)
users = app.Table("users", default=work.new_user, partitions=work.PARTITIONS)
merchants = app.Table("merchants", default=work.new_merchant, partitions=work.PARTITIONS)
scorer = work.Scorer()


@app.agent(transactions)
async def velocity(stream: Any) -> None:
    """Fold by user and hand on by merchant."""
    async for transaction in stream:
        user_id = transaction["user_id"]
        state = users[user_id]
        row = work.fold_user(state, transaction)
        users[user_id] = state
        await by_merchant.send(key=transaction["merchant_id"], value=row)


@app.agent(by_merchant)
async def risk(stream: Any) -> None:
    """Fold by merchant, score, decide."""
    async for row in stream:
        merchant_id = row["merchant_id"]
        state = merchants[merchant_id]
        done = work.fold_merchant(state, row)
        merchants[merchant_id] = state
        await decisions.send(key=row["user_id"].encode(), value=scorer.decide([done])[0])


if __name__ == "__main__":
    faust.Worker(app, loglevel="WARNING").execute_from_commandline()
