"""The counts of one rollout, and the places in the logs up to which they go.

State and places change together and are stored together, in one record, so that a controller that
was killed counts every decision once. Nothing here judges or writes changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from clients.kafka_log import offsets_at
from clients.log_cursor import LogCursor
from operations.rollouts.controller.counted import (
    CountedDecision,
    DecisionReader,
    decision_batch,
    mature_batch,
    transaction_key,
)
from operations.rollouts.controller.label_book import LabelBook
from operations.rollouts.controller.mature import MatureCursor
from operations.rollouts.controller.topics import ControllerTopics
from operations.rollouts.shadow import read_pair
from operations.rollouts.state import RolloutState
from schemas.codec import decode_label
from schemas.errors import InvalidEventError
from schemas.rollout import Rollout
from schemas.rollout_state import Positions
from schemas.topics import HEADER_CONTROL, is_replay, read_header
from schemas.transaction import Limits

RECORDS_MAX: Final = 2_000
"""Records taken at once of each topic."""
READ_S: Final = 1.0
"""Longest wait for decisions, s. Counting and judging cost about as much for ten decisions as for
five hundred, so few large batches are cheap; a broken guard may wait a second."""
LABELS_S: Final = 0.02
"""Longest wait for labels, s."""
SHADOW_S: Final = 0.02
"""Longest wait for shadow decisions, s."""
SETTLE_MS: Final = 1_000
"""A label may reach the log so long after its timestamp, ms; its decision waits for it."""
BEFORE_START_MS: Final = 60_000
"""So long before the rollout's start the logs are read: clocks differ."""

LABELLED = ("canary", "ab", "bandit")
"""The strategies that labels judge."""


class RolloutCounting:
    """Counts the decisions and the labels of one rollout.

    Memory: the state, 20,000 decisions that wait for their labels, and the labels of the time to
    maturity, at most ``labels_max``.

    Attributes:
        state: what was counted.
        latest_decision_ms: clock of the newest decision counted, ms since 1970 UTC; 0 before it.
        ignored: decisions of a revision that never was, and shadow decisions that cannot be read.
    """

    def __init__(
        self,
        bootstrap: str,
        rollout: Rollout,
        *,
        revision: Callable[[int], Rollout | None],
        limits: Limits,
        labels_max: int,
        positions: Positions | None = None,
        state: Mapping[str, Any] | None = None,
        topics: ControllerTopics | None = None,
        read_s: float = READ_S,
    ) -> None:
        """Start with the rollout, or go on from a snapshot.

        Args:
            bootstrap: Kafka's address.
            rollout: at any revision.
            revision: gives it at the revision of a decision; None for one that never was.
            limits: what a label must keep to be valid.
            labels_max: most labels that are kept.
            positions: of the snapshot; None to start with the rollout.
            state: of the same snapshot.
            topics: what is read.
            read_s: longest wait of a `step` for decisions, s.

        Raises:
            KafkaUnreachableError: no answer, or a topic is missing.
        """
        self._rollout = rollout
        self._topics = topics or ControllerTopics()
        self.state = RolloutState(rollout)
        self.latest_decision_ms = 0
        if state is not None:
            self.state.restore(dict(state["counts"]))
            self.latest_decision_ms = int(state["latest_decision_ms"])
        self._reader = DecisionReader(rollout)
        self._revision = revision
        self._read_s = read_s
        self.ignored = 0
        begin = positions or self._first_positions(bootstrap)
        self._live = LogCursor(bootstrap, self._topics.decisions, begin["decisions"])
        self._shadow: LogCursor | None = None
        if self.state.shadow is not None:
            self._shadow = LogCursor(bootstrap, self._topics.shadow_decisions, begin["shadow"])
        self._matured: _Matured | None = None
        if rollout.strategy in LABELLED:
            topics = self._topics
            maturity_ms = rollout.plan.label_maturity_ms
            self._matured = _Matured(
                LabelBook(maturity_ms=maturity_ms, labels_max=labels_max),
                LogCursor(bootstrap, topics.labels, begin["labels"]),
                MatureCursor(bootstrap, begin["mature"], self._reader, topic=topics.decisions),
                maturity_ms=maturity_ms,
                limits=limits,
            )

    def close(self) -> None:
        """Close the connections."""
        self._live.close()
        if self._shadow is not None:
            self._shadow.close()
        if self._matured is not None:
            self._matured.close()

    @property
    def is_ready(self) -> bool:
        """Whether the labels have been read to their end once, so that silence can be judged."""
        return self._matured is None or self._matured.has_all_labels

    @property
    def labels_kept(self) -> int:
        """Labels that are kept for decisions that are not mature yet."""
        return 0 if self._matured is None else len(self._matured.book)

    @property
    def has_too_many_labels(self) -> bool:
        """Whether labels were dropped, so that no more decisions become mature."""
        return self._matured is not None and self._matured.book.is_full

    @property
    def deleted(self) -> int:
        """Records that Kafka had deleted before they were read."""
        others = (self._matured, self._shadow)
        return self._live.deleted + sum(each.deleted for each in others if each is not None)

    @property
    def unreadable(self) -> int:
        """Records that look like decisions of the rollout and are none; they are not counted."""
        return self._reader.unreadable + self.ignored

    def step(self, *, now_ms: int) -> int:
        """Count what is new.

        Blocks: ``read_s`` for decisions, less for labels.

        Returns:
            How many decisions were counted, mature ones as well.

        Raises:
            KafkaUnreachableError: a log can no longer be read.
        """
        records = self._live.take(RECORDS_MAX, self._read_s)
        rows = [self._reader.read(record.value, record.partition) for record in records]
        known = self._known([row for row in rows if row is not None])
        if known:
            self.state.update(decision_batch(known, self._at))
            newest_ms = max(row.decided_at_ms for row in known)
            self.latest_decision_ms = max(self.latest_decision_ms, newest_ms)
        if self._matured is None:
            return len(known) + self._count_shadow()
        mature, labels = self._matured.step(now_ms=now_ms)
        self.state.latest_label_ms = max(self.state.latest_label_ms, self._matured.latest_label_ms)
        pairs = [
            (row, label)
            for row, label in zip(mature, labels, strict=True)
            if self._revision(row.revision) is not None
        ]
        if pairs:
            self.state.update_mature(
                mature_batch(
                    [row for row, _ in pairs],
                    [label for _, label in pairs],
                    self._rollout.loss,
                    self._at,
                )
            )
        return len(known) + len(pairs)

    def snapshot(self) -> tuple[Positions, dict[str, Any]]:
        """Give the places and the state, as the constructor takes them."""
        positions: dict[str, Mapping[int, int]] = {"decisions": dict(self._live.positions)}
        if self._matured is not None:
            positions |= self._matured.positions()
        if self._shadow is not None:
            positions["shadow"] = dict(self._shadow.positions)
        return positions, {
            "counts": self.state.to_json(),
            "latest_decision_ms": self.latest_decision_ms,
        }

    def _count_shadow(self) -> int:
        totals = self.state.shadow
        if self._shadow is None or totals is None:
            return 0
        before = totals.pairs
        for record in self._shadow.take(RECORDS_MAX, SHADOW_S, values_only=False):
            try:
                control = read_header(record.headers, HEADER_CONTROL)
                pair = read_pair(self._rollout, record.value or b"", control)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.ignored += 1
                continue
            if pair is not None:
                totals.add(pair)
        return totals.pairs - before

    def _known(self, rows: list[CountedDecision]) -> list[CountedDecision]:
        known = [row for row in rows if self._revision(row.revision) is not None]
        self.ignored += len(rows) - len(known)
        return known

    def _at(self, revision: int) -> Rollout:
        found = self._revision(revision)
        assert found is not None
        return found

    def _first_positions(self, bootstrap: str) -> Positions:
        begin_ms = self._rollout.started_at_ms - BEFORE_START_MS
        decisions = offsets_at(bootstrap, self._topics.decisions, time_ms=begin_ms)
        if self.state.shadow is not None:
            topic = self._topics.shadow_decisions
            return {
                "decisions": decisions,
                "shadow": offsets_at(bootstrap, topic, time_ms=begin_ms),
            }
        if self._rollout.strategy not in LABELLED:
            return {"decisions": decisions}
        labels = offsets_at(bootstrap, self._topics.labels, time_ms=begin_ms)
        return {"decisions": decisions, "mature": decisions, "labels": labels}


class _Matured:
    """The decisions of a rollout whose labels are mature, with their labels."""

    def __init__(
        self,
        book: LabelBook,
        labels: LogCursor,
        decisions: MatureCursor,
        *,
        maturity_ms: int,
        limits: Limits,
    ) -> None:
        self.book = book
        self._labels = labels
        self._decisions = decisions
        self._maturity_ms = maturity_ms
        self._limits = limits
        self.has_all_labels = False
        self.latest_label_ms = 0

    def close(self) -> None:
        self._labels.close()
        self._decisions.close()

    @property
    def deleted(self) -> int:
        return self._decisions.deleted

    def positions(self) -> Positions:
        return {
            "mature": dict(self._decisions.positions),
            "labels": self.book.first_needed(self._labels.positions),
        }

    def step(self, *, now_ms: int) -> tuple[list[CountedDecision], list[int]]:
        """Give the decisions that have become mature, and what is known of each."""
        self._read_labels(now_ms)
        read_until_ms = self._labels.read_until_ms(now_ms=now_ms)
        self.has_all_labels = read_until_ms is not None
        if read_until_ms is None or self.book.is_full:
            return [], []
        until_ms = read_until_ms - self._maturity_ms - SETTLE_MS
        rows = self._decisions.take(until_ms=until_ms)
        found = [
            self.book.at(row.transaction, deadline_ms=row.decided_at_ms + self._maturity_ms)
            for row in rows
        ]
        oldest_ms = self._decisions.oldest_waiting_ms(until_ms=until_ms)
        if oldest_ms is not None:
            self.book.forget(before_ms=oldest_ms - BEFORE_START_MS)
        return rows, found

    def _read_labels(self, now_ms: int) -> None:
        for record in self._labels.take(RECORDS_MAX, LABELS_S, values_only=False):
            try:
                label = decode_label(
                    record.value,
                    limits=self._limits,
                    # A label that was valid when it came stays valid when it is read again.
                    now_ms=max(now_ms, record.timestamp_ms),
                    is_replay=is_replay(record.headers),
                )
            except InvalidEventError:
                # The velocity job reports it as a dead letter.
                continue
            self.latest_label_ms = max(self.latest_label_ms, record.timestamp_ms)
            self.book.add(
                transaction_key(label.transaction_id),
                known_ms=record.timestamp_ms,
                observed_ms=label.observed_time_ms,
                is_fraud=label.is_fraud,
                partition=record.partition,
                offset=record.offset,
            )
