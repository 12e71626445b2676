"""Scores one batch of the feature log: read, decide, keep first decisions, encode, emit, return.

Owns the order of these steps, which gives the worker its delivery guarantee. Knows the ports only,
neither Faust nor Kafka nor Redis. Called by ``intake.py`` with records, and by tests with fakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from models.policy import Policy
from schemas.decision import Decision, Outcome
from schemas.output_codec import encode_decision
from schemas.topics import (
    DEAD_LETTERS,
    DECISION_TYPE,
    DECISIONS,
    FEATURES,
    HEADER_ID,
    REPLAY_HEADER,
    ROLLOUTS,
    SCORER_GROUP,
    SHADOW_DECISIONS,
    cloud_event_headers,
    passed_on,
)
from scoring.core.ports import (
    BatchFeatureReader,
    DecisionStore,
    FeatureLog,
    ModelSource,
    OutgoingRecord,
    RecordPlace,
    RecordSink,
)
from scoring.core.rollouts import NoRollouts, RolloutSource
from scoring.metrics import Metrics
from scoring.worker.decider import Decided, Decider
from scoring.worker.feature_log import Record, Scorable, dead_letter, read_batch
from scoring.worker.repeats import Repeats
from scoring.worker.shadow import ShadowScorer

_Header: TypeAlias = tuple[str, str | bytes | None]

SOURCE = "/weir/scoring"
"""CloudEvents source of the decisions."""


@dataclass(frozen=True, slots=True)
class Channels:
    """The consumer group of a scorer and the topics that it reads and writes."""

    group: str = SCORER_GROUP
    features: str = FEATURES
    decisions: str = DECISIONS
    dead_letters: str = DEAD_LETTERS
    rollouts: str = ROLLOUTS
    shadow_decisions: str = SHADOW_DECISIONS


class BatchScorer:
    """Scores batches, one at a time."""

    def __init__(
        self,
        *,
        models: ModelSource,
        policy: Policy,
        store: DecisionStore,
        log: FeatureLog,
        batch_reader: BatchFeatureReader,
        sink: RecordSink,
        clock_ms: Callable[[], int],
        metrics: Metrics,
        channels: Channels,
        rollouts: RolloutSource | None = None,
        steady_ms: Callable[[], float] = lambda: 0.0,
        shadow: ShadowScorer | None = None,
    ) -> None:
        """Store the parts; ``parts.py`` builds them.

        Args:
            models: gives the champion; asked once for each batch.
            policy: the thresholds.
            store: keeps the first decisions.
            log: reads the rows of first decisions again.
            batch_reader: reads batch features; asked only if the model uses some.
            sink: writes decisions and dead letters.
            clock_ms: the clock, ms since 1970 UTC.
            metrics: counts batches and decisions.
            channels: the topics to write to.
            rollouts: gives the rollout in use; None if there never is one.
            steady_ms: a clock that never goes back, ms, for durations of model calls.
            shadow: scores with the challenger of a shadow rollout.
        """
        self._decider = Decider(
            models=models,
            rollouts=rollouts or NoRollouts(),
            policy=policy,
            batch_reader=batch_reader,
            metrics=metrics,
            now_ms=clock_ms,
            clock_ms=steady_ms,
            shadow=shadow,
        )
        self._store = store
        self._repeats = Repeats(store=store, log=log)
        self._sink = sink
        self._metrics = metrics
        self._channels = channels

    async def score(self, records: Sequence[Record]) -> None:
        """Decide on every record of a batch; return when the broker has acknowledged the decisions.

        Delivery: at least once. After a crash before the return the batch is read again. Its
        decisions then come from what the store has kept, byte for byte, because that was kept
        before they were emitted. A record that cannot be decoded becomes a dead letter.
        Blocks: up to the timeouts of the batch features and of the store, for a repeat up to that
            of the feature log, then until the broker acknowledges.
        On failure: raises DeliveryError. Some records may be written; nothing may be committed.

        Args:
            records: the batch, in log order for each partition.
        """
        with self._metrics.batch_seconds.time():
            with self._metrics.decide_seconds.time():
                batch = read_batch(records)
                scorables = batch.scorables
                rows = await self._decider.decide(batch)
                decided = rows.decided
            kept = await self._store.keep_first(
                decided.proposals, contexts=decided.contexts, when_unstored=decided.unstored
            )
            emitted = await self._emitted(scorables, decided, kept.values)
            await self._sink.send(
                self._to_records(emitted, scorables)
                + [
                    dead_letter(record, error, topic=self._channels.dead_letters)
                    for record, error in batch.refused
                ]
            )
        self._count(emitted, records=len(records), refused=len(batch.refused))
        self._decider.after_emission(rows)

    async def _emitted(
        self, scorables: Sequence[Scorable], decided: Decided, kept: Sequence[bytes]
    ) -> list[_Emitted]:
        """Encode what stands for each row: its new decision, or the first one again."""
        is_new = [decided.is_new(at, value) for at, value in enumerate(kept)]
        repeats = [at for at, is_so in enumerate(is_new) if not is_so]
        firsts = dict(
            zip(
                repeats,
                await self._repeats.decide(
                    [(scorables[at], kept[at]) for at in repeats],
                    at_hand=scorables,
                    contexts=decided.contexts,
                ),
                strict=True,
            )
            if repeats
            else ()
        )
        for at, first in firsts.items():
            self._count_repeat(scorables[at], first)
        now_ms = decided.now_ms
        return [
            _Emitted(
                each.transaction_id,
                each.user_id,
                decided.encode(at),
                now_ms,
                decided.outcome(at),
                decided.degraded(at),
            )
            if is_new[at]
            else _Emitted.of(firsts[at])
            for at, each in enumerate(scorables)
        ]

    def _count_repeat(self, scorable: Scorable, first: Decision) -> None:
        if first.features_offset != scorable.place:
            self._metrics.repeats.inc()
        if first.user_id.encode() != scorable.user_id:
            # Identity is the transaction id alone, so the first decision stands here as well.
            self._metrics.conflicting_ids.inc()

    def _to_records(
        self, emitted: Sequence[_Emitted], scorables: Sequence[Scorable]
    ) -> list[OutgoingRecord]:
        topic, source, headers_of = self._channels.decisions, self._channels.features, _Headers()
        records = []
        for each, scorable in zip(emitted, scorables, strict=True):
            headers = headers_of(each.transaction_id, each.decided_at_ms)
            if scorable.is_replay:
                headers.append(REPLAY_HEADER)
            headers += passed_on(scorable.record.headers)
            place = RecordPlace(source, scorable.place.partition, scorable.place.offset)
            records.append(
                OutgoingRecord(
                    topic, each.user_id, each.value, headers, timestamp_ms=0, source=place
                )
            )
        return records

    def _count(self, emitted: Iterable[_Emitted], *, records: int, refused: int) -> None:
        for outcome, count in Counter(each.outcome for each in emitted).items():
            self._metrics.decisions.labels(decision=outcome).inc(count)
        for missing, count in Counter(word for each in emitted for word in each.degraded).items():
            self._metrics.degraded.labels(missing=missing).inc(count)
        self._metrics.batch_rows.observe(records)
        self._metrics.dead_letters.inc(refused)


class _Headers:
    """Gives the headers of decisions; those of one batch differ in the transaction only."""

    def __init__(self) -> None:
        self._around_id: dict[int, tuple[list[_Header], list[_Header]]] = {}

    def __call__(self, transaction_id: bytes, time_ms: int) -> list[_Header]:
        around = self._around_id.get(time_ms)
        if around is None:
            headers: list[_Header] = [
                *cloud_event_headers(
                    event_type=DECISION_TYPE, event_id=b"", source=SOURCE, time_ms=time_ms
                )
            ]
            at = headers.index((HEADER_ID, b""))
            around = self._around_id[time_ms] = headers[:at], headers[at + 1 :]
        before, after = around
        return [*before, (HEADER_ID, transaction_id), *after]


class _Emitted(NamedTuple):
    """A decision as it goes to the topic."""

    transaction_id: bytes
    user_id: bytes
    value: bytes
    decided_at_ms: int
    outcome: Outcome
    degraded: tuple[str, ...]

    @classmethod
    def of(cls, decision: Decision) -> _Emitted:
        """Encode the first decision of a repeat."""
        return cls(
            decision.transaction_id.encode(),
            decision.user_id.encode(),
            encode_decision(decision),
            decision.decided_at_ms,
            decision.decision,
            decision.degraded,
        )
