"""Bytewax with recovery: `python -m bytewax.run bytewax_flow:flow -r DIR -s 10 -b 0`.

As its documentation writes it: `stateful_map` by user, by merchant again, scored in the batches in
which items travel. State is snapshot into SQLite every 10 s, as often as Weir's checkpoints.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import bytewax.operators as op
import orjson
import work
from bytewax.connectors.kafka import KafkaSinkMessage
from bytewax.connectors.kafka import operators as kafka
from bytewax.dataflow import Dataflow
from confluent_kafka import OFFSET_BEGINNING

Row = dict[str, Any]
scorer = work.Scorer()


def user_stage(state: work.State | None, transaction: Row) -> tuple[work.State, Row]:
    """Fold by user."""
    state = state or work.new_user()
    return state, work.fold_user(state, transaction)


def merchant_stage(state: work.State | None, row: Row) -> tuple[work.State, Row]:
    """Fold by merchant."""
    state = state or work.new_merchant()
    return state, work.fold_merchant(state, row)


def decide(rows: list[tuple[str, Row]]) -> list[KafkaSinkMessage]:
    """Score a batch."""
    return [
        KafkaSinkMessage(decision["user_id"].encode(), orjson.dumps(decision))
        for decision in scorer.decide([row for _, row in rows])
    ]


flow = Dataflow("bench")
records = kafka.input(
    "in",
    flow,
    brokers=[work.BOOTSTRAP],
    topics=[work.TOPIC_IN],
    starting_offset=OFFSET_BEGINNING,
    add_config={"fetch.wait.max.ms": "20"},
)
parsed = op.map("parse", records.oks, lambda record: orjson.loads(record.value))
by_user = op.key_on("by user", parsed, lambda row: row["user_id"])
folded = op.stateful_map("user", by_user, user_stage)
by_merchant = op.key_on(
    "by merchant", op.map("row", folded, lambda pair: pair[1]), lambda row: row["merchant_id"]
)
complete = op.stateful_map("merchant", by_merchant, merchant_stage)
decided = op.flat_map_batch("decide", complete, decide)
kafka.output(
    "out", decided, brokers=[work.BOOTSTRAP], topic=work.TOPIC_OUT, add_config={"linger.ms": "5"}
)
