"""Quix Streams: two stateful stages on RocksDB with changelog topics, a repartition between them.

As its documentation writes it: `apply(..., stateful=True)`, `group_by` for the merchant,
`to_topic`. At least once, its own commit interval. librdkafka's linger is its default, 5 ms.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import work
from quixstreams import Application, State


def user_stage(transaction: dict[str, Any], state: State) -> dict[str, Any]:
    """Fold by user."""
    known = state.get("windows") or work.new_user()
    row = work.fold_user(known, transaction)
    state.set("windows", known)
    return row


def merchant_stage(row: dict[str, Any], state: State) -> dict[str, Any]:
    """Fold by merchant."""
    known = state.get("windows") or work.new_merchant()
    row = work.fold_merchant(known, row)
    state.set("windows", known)
    return row


def main() -> None:
    """Run for ever."""
    scorer = work.Scorer()
    app = Application(
        broker_address=work.BOOTSTRAP,
        consumer_group=work.GROUP,
        state_dir=work.STATE_DIR,
        auto_offset_reset="earliest",
        consumer_extra_config={"fetch.wait.max.ms": 20},
        producer_extra_config={"linger.ms": 5},
        loglevel="WARNING",
    )
    decisions = app.topic(work.TOPIC_OUT, key_serializer="str", value_serializer="json")
    rows = app.dataframe(app.topic(work.TOPIC_IN, value_deserializer="json"))
    rows = rows.apply(user_stage, stateful=True)
    rows = rows.group_by("merchant_id", name="merchant")
    rows = rows.apply(merchant_stage, stateful=True)
    rows = rows.apply(lambda row: scorer.decide([row])[0])
    rows.to_topic(decisions, key=lambda decision: decision["user_id"])
    app.run()


if __name__ == "__main__":
    main()
