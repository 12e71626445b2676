"""Scores one batch of the feature log: decode, decide, store first decisions, emit, return.

Owns the order of these steps, which gives the worker its delivery guarantee. Knows the ports only,
neither Faust nor Kafka nor Redis. Called by ``intake.py`` with records, and by tests with fakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from models.policy import Policy
from schemas.decision import Decision
from schemas.output_codec import decode_decision, encode_decision
from schemas.topics import (
    DEAD_LETTERS,
    DECISION_TYPE,
    DECISIONS,
    FEATURES,
    REPLAY_HEADER,
    SCORER_GROUP,
    cloud_event_headers,
)
from scoring.core.batch_features import read_batch_values
from scoring.core.decide import DEGRADED_DECISION_STORE_UNAVAILABLE, decide_many
from scoring.core.ports import (
    BatchFeatureReader,
    DecisionStore,
    ModelSource,
    OutgoingRecord,
    RecordPlace,
    RecordSink,
)
from scoring.metrics import Metrics
from scoring.worker.feature_log import Record, Scorable, dead_letter, decode_records

SOURCE = "/weir/scoring"
"""CloudEvents source of the decisions."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The consumer group of a scorer and the topics that it reads and writes."""

    group: str = SCORER_GROUP
    features: str = FEATURES
    decisions: str = DECISIONS
    dead_letters: str = DEAD_LETTERS


class BatchScorer:
    """Scores batches, one at a time."""

    def __init__(
        self,
        *,
        models: ModelSource,
        policy: Policy,
        store: DecisionStore,
        batch_reader: BatchFeatureReader,
        sink: RecordSink,
        clock_ms: Callable[[], int],
        metrics: Metrics,
        channels: Channels,
    ) -> None:
        """Store the parts; ``parts.py`` builds them.

        Args:
            models: gives the model; asked once for each batch, so a batch has one model.
            policy: the thresholds.
            store: keeps the first decisions.
            batch_reader: reads batch features; asked only if the model uses some.
            sink: writes decisions and dead letters.
            clock_ms: the clock, ms since 1970 UTC.
            metrics: counts batches and decisions.
            channels: the topics to write to.
        """
        self._models = models
        self._policy = policy
        self._store = store
        self._batch_reader = batch_reader
        self._sink = sink
        self._clock_ms = clock_ms
        self._metrics = metrics
        self._channels = channels

    async def score(self, records: Sequence[Record]) -> None:
        """Decide on every record of a batch; return when the broker has acknowledged the decisions.

        Delivery: at least once. After a crash before the return the batch is read again. Its
        decisions then come from the store, byte for byte, because they were stored before they
        were emitted. A record that cannot be decoded becomes a dead letter.
        Blocks: up to the timeouts of the batch features and of the store, then until the broker
            acknowledges.
        On failure: raises DeliveryError. Some records may be written; nothing may be committed.

        Args:
            records: the batch, in log order for each partition.
        """
        with self._metrics.batch_seconds.time():
            with self._metrics.decide_seconds.time():
                scorables, refused = decode_records(records)
                rows = [scorable.row for scorable in scorables]
                model = self._models.current()
                batch = await read_batch_values(self._batch_reader, rows, model=model)
                decisions = decide_many(
                    rows,
                    model=model,
                    batch=batch,
                    policy=self._policy,
                    features_offsets=[scorable.offset for scorable in scorables],
                    now_ms=self._clock_ms(),
                )
                proposals = [(d.transaction_id, encode_decision(d)) for d in decisions]
            kept = await self._store.keep_first(
                proposals, when_unstored=lambda at: encode_decision(_mark_unstored(decisions[at]))
            )
            emitted = [
                self._to_record(proposed, decision, value, scorable)
                for (_, proposed), decision, value, scorable in zip(
                    proposals, decisions, kept.values, scorables, strict=True
                )
            ]
            await self._sink.send(
                [outgoing for _, outgoing in emitted]
                + [
                    dead_letter(record, error, topic=self._channels.dead_letters)
                    for record, error in refused
                ]
            )
        self._count(
            [decision for decision, _ in emitted], records=len(records), refused=len(refused)
        )

    def _to_record(
        self, proposed: bytes, decision: Decision, value: bytes, scorable: Scorable
    ) -> tuple[Decision, OutgoingRecord]:
        # Other bytes are an earlier decision, or this decision marked as not stored.
        if value is not proposed:
            first = decode_decision(value)
            if first.features_offset != decision.features_offset:
                self._metrics.repeats.inc()
            if first.user_id != decision.user_id:
                # Identity is the transaction id alone, so the first decision stands here as well.
                self._metrics.conflicting_ids.inc()
            decision = first
        headers: list[tuple[str, str | bytes | None]] = [
            *cloud_event_headers(
                event_type=DECISION_TYPE,
                event_id=decision.transaction_id,
                source=SOURCE,
                time_ms=decision.decided_at_ms,
            )
        ]
        if scorable.is_replay:
            headers.append(REPLAY_HEADER)
        record = OutgoingRecord(
            topic=self._channels.decisions,
            key=decision.user_id.encode(),
            value=value,
            headers=headers,
            timestamp_ms=0,
            source=RecordPlace(
                self._channels.features, scorable.offset.partition, scorable.offset.offset
            ),
        )
        return decision, record

    def _count(self, decisions: Sequence[Decision], *, records: int, refused: int) -> None:
        for outcome, count in Counter(d.decision for d in decisions).items():
            self._metrics.decisions.labels(decision=outcome).inc(count)
        for missing, count in Counter(reason for d in decisions for reason in d.degraded).items():
            self._metrics.degraded.labels(missing=missing).inc(count)
        self._metrics.batch_rows.observe(records)
        self._metrics.dead_letters.inc(refused)


def _mark_unstored(decision: Decision) -> Decision:
    degraded = (*decision.degraded, DEGRADED_DECISION_STORE_UNAVAILABLE)
    return replace(decision, degraded=degraded)
