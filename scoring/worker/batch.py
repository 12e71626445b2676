"""One batch of the feature log: decode, decide, keep the first decisions, emit, then return.

Owns the order of these steps, which is the worker's delivery promise. Knows neither Faust nor
Kafka nor Redis, only the ports; called by `worker` with records, and by tests with fakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from models.policy import Policy
from schemas.dead_letter import dead_letter_headers
from schemas.decision import Decision, Offset
from schemas.errors import InvalidEventError
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_decision, decode_feature_row, encode_decision
from schemas.topics import (
    DEAD_LETTERS,
    DECISION_TYPE,
    DECISIONS,
    FEATURE_ROW_TYPE,
    FEATURES,
    REPLAY_HEADER,
    SCORER_GROUP,
    check_event_type,
    cloud_event_headers,
    is_replay,
)
from scoring.core.batch_features import read_batch_values
from scoring.core.decide import DEGRADED_DECISION_STORE_UNAVAILABLE, decide_many
from scoring.core.ports import (
    BatchFeatureReader,
    DecisionStore,
    ModelSource,
    OutgoingRecord,
    RecordSink,
)
from scoring.metrics import Metrics

SOURCE = "/weir/scoring"
_NAMES = frozenset(FEATURE_NAMES)
STAGE = "score"


@dataclass(frozen=True, slots=True)
class Channels:
    """What a scorer reads and writes, and as which consumer group it does."""

    group: str = SCORER_GROUP
    features: str = FEATURES
    decisions: str = DECISIONS
    dead_letters: str = DEAD_LETTERS


class Record(NamedTuple):
    """A record of the feature log as it came."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]


class _Scorable(NamedTuple):
    row: FeatureRow
    offset: Offset
    is_replay: bool


class BatchScorer:
    """Scores batches, one after the other."""

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
        """Take the parts; `wiring` chooses them.

        Args:
            models: asked once a batch, so a batch has one model.
            policy: the thresholds.
            store: the first decisions.
            batch_reader: the batch features, asked only where the model takes some.
            sink: where decisions and dead letters go.
            clock_ms: the clock, ms since 1970 UTC.
            metrics: where batches are counted.
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
        """Decide on every record of a batch and return when the broker has all the answers.

        Delivery: at least once. A crash before the return means that the batch comes again;
        the decisions are then taken from the store, the same bytes, since they were kept
        there before they were emitted. A record that cannot be decoded becomes a dead letter.
        Blocks: for the time limits of reading batch features and of the store, then until the
            broker acknowledges.
        On failure: DeliveryError, and nothing may be committed; some records may be out.

        Args:
            records: in log order for each partition.
        """
        with self._metrics.batch_seconds.time():
            with self._metrics.decide_seconds.time():
                scorables, refused = _decode(records)
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
                proposals, when_unstored=lambda at: encode_decision(_unstored(decisions[at]))
            )
            emitted = [
                self._emitted(proposed, decision, value, scorable.is_replay)
                for (_, proposed), decision, value, scorable in zip(
                    proposals, decisions, kept.values, scorables, strict=True
                )
            ]
            await self._sink.send(
                [outgoing for _, outgoing in emitted]
                + [self._dead_letter(record, error) for record, error in refused]
            )
        self._count(
            [decision for decision, _ in emitted], records=len(records), refused=len(refused)
        )

    def _emitted(
        self, proposed: bytes, decision: Decision, value: bytes, replayed: bool
    ) -> tuple[Decision, OutgoingRecord]:
        # Bytes that are not the proposal are an earlier decision, or this one said otherwise.
        if value is not proposed:
            first = decode_decision(value)
            if first.features_offset != decision.features_offset:
                self._metrics.repeats.inc()
            decision = first
        headers: list[tuple[str, str | bytes | None]] = [
            *cloud_event_headers(
                event_type=DECISION_TYPE,
                event_id=decision.transaction_id,
                source=SOURCE,
                time_ms=decision.decided_at_ms,
            )
        ]
        if replayed:
            headers.append(REPLAY_HEADER)
        record = OutgoingRecord(
            topic=self._channels.decisions,
            key=decision.user_id.encode(),
            value=value,
            headers=headers,
            timestamp_ms=0,
        )
        return decision, record

    def _count(self, decisions: Sequence[Decision], *, records: int, refused: int) -> None:
        for outcome, count in Counter(d.decision for d in decisions).items():
            self._metrics.decisions.labels(decision=outcome).inc(count)
        for missing, count in Counter(word for d in decisions for word in d.degraded).items():
            self._metrics.degraded.labels(missing=missing).inc(count)
        self._metrics.batch_rows.observe(records)
        self._metrics.dead_letters.inc(refused)

    def _dead_letter(self, record: Record, error: InvalidEventError) -> OutgoingRecord:
        why = dead_letter_headers(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage=STAGE,
            error=error,
        )
        return OutgoingRecord(
            topic=self._channels.dead_letters,
            key=record.key,
            value=record.value,
            headers=[*record.headers, *why],
            timestamp_ms=record.timestamp_ms,
        )


def _decode(
    records: Iterable[Record],
) -> tuple[list[_Scorable], list[tuple[Record, InvalidEventError]]]:
    scorables = []
    refused = []
    for record in records:
        try:
            check_event_type(record.headers, expected=FEATURE_ROW_TYPE)
            row = decode_feature_row(record.value)
            _check_complete(row)
        except InvalidEventError as error:
            refused.append((record, error))
        else:
            scorables.append(
                _Scorable(row, Offset(record.partition, record.offset), is_replay(record.headers))
            )
    return scorables, refused


def _check_complete(row: FeatureRow) -> None:
    # A row that says it follows our definitions and does not would fail in the model.
    if row.definition_digest == DEFINITION_DIGEST and not row.features.keys() >= _NAMES:
        missing = min(_NAMES - row.features.keys())
        raise InvalidEventError("features", f"lacks {missing} of the definitions it names")


def _unstored(decision: Decision) -> Decision:
    words = (*decision.degraded, DEGRADED_DECISION_STORE_UNAVAILABLE)
    return replace(decision, degraded=words)
