"""Where the time goes: the latency of an event, cut into stages by the clocks it passed.

For this scenario alone the broker stamps records when it appends them (`LogAppendTime`). A stage
is the difference of two clocks of one machine, read in whole ms and so right on average. The job
stamps a row when it begins to fold its batch, the scorer a decision when it begins to score its
batch. The row's own stamp is read from the feature log afterwards.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from schemas.topics import DECISIONS, FEATURES, TRANSACTIONS
from tests.bench.bench_stack import BenchStack
from tests.bench.measure import Measured
from tests.bench.results import median
from tests.bench.scenarios import Choices, Entry, open_loop

STAGES = (
    "due to Kafka",
    "Kafka to fold (Flink)",
    "fold to feature log (Flink)",
    "feature log to score (scorer)",
    "score to Kafka (scorer)",
    "Kafka to subscriber",
)
SHOWN = ("mean", "p50", "p99")


def stages(stack: BenchStack, choices: Choices) -> Entry:
    """The latency of an event by stage, at 500 and 2,000 events/s."""
    stack.fresh()
    rows = []
    try:
        _stamp(stack, "LogAppendTime")
        for rate in choices.or_rates(500, 2_000):
            runs = [by_stage(stack, open_loop(stack, choices, rate)) for _ in range(choices.runs)]
            rows.append({"rate_per_s": rate, "median": median(runs), "runs": runs})
    finally:
        _stamp(stack, "CreateTime")
    return {"rows": rows}


def by_stage(stack: BenchStack, done: Measured) -> dict[str, Any]:
    """The stages of the decisions that a run kept whole."""
    counts = done.counts
    kept = [(at, decision) for at, decision in done.seen.kept if counts[at]]
    rows_ms = _append_times_ms(stack.settings.kafka_bootstrap, [each for _, each in kept])
    clocks = []
    for (at, decision), row_ms in zip(kept, rows_ms, strict=True):
        timings = decision["timings"]
        clocks.append(
            (
                int(done.due_s[at] * 1000),
                timings["transaction_timestamp_ms"],
                timings["features_at_ms"],
                row_ms,
                decision["decided_at_ms"],
                int(done.seen.appended_ms[at]),
                int(done.seen.received_s[at] * 1000),
            )
        )
    steps_ms = np.diff(np.array(clocks, dtype=np.int64), axis=1)
    return {
        "events": len(clocks),
        "stages_ms": {
            name: {
                "mean": round(float(of_stage.mean()), 2),
                "p50": float(np.percentile(of_stage, 50)),
                "p99": float(np.percentile(of_stage, 99)),
            }
            for name, of_stage in zip(STAGES, steps_ms.T, strict=True)
        },
        "latency_ms": done.to_json()["latency_ms"],
    }


def _append_times_ms(bootstrap: str, decisions: list[dict[str, Any]]) -> list[int]:
    """When the feature row of each decision was appended to the feature log."""
    wanted: dict[int, set[int]] = defaultdict(set)
    for decision in decisions:
        place = decision["features_offset"]
        wanted[place["partition"]].add(place["offset"])
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": "bench-stages", "enable.auto.commit": False}
    )
    found: dict[tuple[int, int], int] = {}
    for partition, offsets in wanted.items():
        consumer.assign([TopicPartition(FEATURES, partition, min(offsets))])
        left = set(offsets)
        while left:
            for message in consumer.consume(1_000, timeout=10):
                if message.offset() in left:
                    left.discard(message.offset())
                    found[partition, message.offset()] = message.timestamp()[1]
    consumer.close()
    places = (decision["features_offset"] for decision in decisions)
    return [found[place["partition"], place["offset"]] for place in places]


def _stamp(stack: BenchStack, kind: str) -> None:
    """Say who stamps records: the broker (`LogAppendTime`) or the producer (`CreateTime`)."""
    admin = AdminClient({"bootstrap.servers": stack.settings.kafka_bootstrap})
    setting = ConfigEntry(
        "message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET
    )
    resources = [
        ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[setting])
        for topic in (TRANSACTIONS, FEATURES, DECISIONS)
    ]
    for done in admin.incremental_alter_configs(resources).values():
        done.result(timeout=10)
