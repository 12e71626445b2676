"""Scores one batch of the feature log: read, decide, keep first decisions, encode, emit, return.

Owns the order of these steps, which gives the worker its delivery guarantee. Knows the ports only,
neither Faust nor Kafka nor Redis. Called by ``intake.py`` with records, and by tests with fakes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeAlias

from models.policy import Policy
from schemas.decision import Decision
from schemas.output_codec import encode_decision
from schemas.topics import (
    DEAD_LETTERS,
    DECISION_TYPE,
    DECISIONS,
    FEATURES,
    HEADER_ID,
    ROLLOUTS,
    SCORER_GROUP,
    SHADOW_DECISIONS,
    cloud_event_headers,
)
from scoring.core.ports import (
    BatchFeatureReader,
    DecisionStore,
    FeatureLog,
    ModelSource,
    OutgoingRecord,
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
            firsts = await self._firsts(scorables, decided, kept.values)
            await self._sink.send(
                self._to_records(scorables, decided, firsts)
                + [
                    dead_letter(record, error, topic=self._channels.dead_letters)
                    for record, error in batch.refused
                ]
            )
        self._count(decided, firsts, records=len(records), refused=len(batch.refused))
        self._decider.after_emission(rows)

    async def _firsts(
        self, scorables: Sequence[Scorable], decided: Decided, kept: Sequence[bytes]
    ) -> dict[int, Decision]:
        """Give the first decisions of repeats again, by position; the others are new."""
        unstored = decided.unstored_kept
        repeats = [
            at
            for at, (stands, (_, own)) in enumerate(zip(kept, decided.proposals, strict=True))
            if stands is not own and stands is not unstored.get(at)
        ]
        if not repeats:
            return {}
        again = await self._repeats.decide(
            [(scorables[at], kept[at]) for at in repeats],
            at_hand=scorables,
            contexts=decided.contexts,
        )
        firsts = dict(zip(repeats, again, strict=True))
        for at, first in firsts.items():
            self._count_repeat(scorables[at], first)
        return firsts

    def _count_repeat(self, scorable: Scorable, first: Decision) -> None:
        if first.features_offset != scorable.place:
            self._metrics.repeats.inc()
        if first.user_id.encode() != scorable.user_id:
            # Identity is the transaction id alone, so the first decision stands here as well.
            self._metrics.conflicting_ids.inc()

    def _to_records(
        self, scorables: Sequence[Scorable], decided: Decided, firsts: Mapping[int, Decision]
    ) -> list[OutgoingRecord]:
        """Encode what stands for each row: its new decision, or the first one again."""
        topic, headers_of = self._channels.decisions, _Headers()
        new = [at for at in range(len(scorables)) if at not in firsts]
        values = dict(zip(new, decided.encode_many(new), strict=True))
        records = []
        for at, scorable in enumerate(scorables):
            key, time_ms = scorable.user_id, decided.now_ms
            if first := firsts.get(at):
                values[at] = encode_decision(first)
                key, time_ms = first.user_id.encode(), first.decided_at_ms
            headers = headers_of(scorable.transaction_id, time_ms)
            headers += scorable.more_headers
            records.append(
                OutgoingRecord(
                    topic, key, values[at], headers, timestamp_ms=0, source=scorable.record
                )
            )
        return records

    def _count(
        self, decided: Decided, firsts: Mapping[int, Decision], *, records: int, refused: int
    ) -> None:
        outcomes, degraded = [*decided.outcomes], [*decided.degraded]
        for at, first in firsts.items():
            outcomes[at], degraded[at] = first.decision, first.degraded
        for outcome, number in Counter(outcomes).items():
            self._metrics.decisions.labels(decision=outcome).inc(number)
        for missing, number in Counter(chain.from_iterable(degraded)).items():
            self._metrics.degraded.labels(missing=missing).inc(number)
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
