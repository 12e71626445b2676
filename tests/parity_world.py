"""A small world as parity sees it: feature rows, decisions, Redis, and what they should be.

The rows come from the twin of the velocity job, so every copy is right until a test breaks it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from clients.log_record import Record
from features.definitions import DAY_MS, Entity
from features.engine.state import MerchantState, UserState
from features.online import layout as online_store
from infra.simulation.event import Event
from infra.simulation.world import World
from models.encoding.row import encode_row
from models.encoding.vector import CATEGORY_COLUMNS, STREAM_COLUMNS, VectorSpec
from operations.parity.recomputation.audit import (
    FeatureLogAudit,
    LoggedTransactions,
)
from operations.parity.recomputation.merchant_folds import LoggedLabel
from operations.parity.recomputation.recomputed import Recomputed
from operations.parity.recomputation.transaction_contents import fingerprint
from operations.parity.report import FeatureLogReport, SurfaceReport
from operations.parity.surfaces.decisions import DecisionComparison
from operations.parity.surfaces.online import OnlineComparison
from operations.parity.surfaces.training_rows import compare_training_rows
from schemas.codec import decode_label
from schemas.decision import Decision, ModelRef, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_feature_row
from schemas.transaction import Limits
from tests.builders import DECISION, NOW_MS
from tests.velocity_twin import VelocityTwin
from training.datasets.read_log import feature_table

START_MS = NOW_MS - 14 * DAY_MS
ENTITIES: tuple[Entity, ...] = ("user", "merchant")
MODEL = ModelRef(name="weir-fraud", version="3", digest="d" * 16)
SPEC = VectorSpec(STREAM_COLUMNS, dict.fromkeys(CATEGORY_COLUMNS, ("DE", "mobile")))

Hashes = dict[str, dict[bytes, bytes]]


def history(*, per_day: int) -> list[Event]:
    """Two weeks of transactions and fraud reports, always the same."""
    world = World(seed=11, run="p")
    return list(world.history(start_ms=START_MS, end_ms=NOW_MS, transactions_per_day=per_day))


def rows_of(
    events: Iterable[Event], broken: Callable[[FeatureRow], FeatureRow] = lambda row: row
) -> list[FeatureRow]:
    """The feature rows of events, each changed by `broken` on its way out."""
    twin = VelocityTwin(broken=broken)
    return [row for event in events for row in twin.take(event)]


def labels_of(events: Iterable[Event], *, timestamp_ms: int = 0) -> list[LoggedLabel]:
    """The fraud reports of events; they reached Kafka at this time."""
    return [
        LoggedLabel(
            decode_label(event.value, limits=Limits(), now_ms=0, is_replay=True), timestamp_ms
        )
        for event in events
        if not event.is_transaction
    ]


def listed(
    rows: Iterable[FeatureRow], *, ends: Mapping[int, int] | None = None
) -> LoggedTransactions:
    """The transactions that rows came from; listed up to their last ones, or up to `ends`."""
    fingerprints = {
        (row.origin.partition, row.origin.offset): fingerprint(row.transaction) for row in rows
    }
    if ends is None:
        ends = {}
        for partition, offset in fingerprints:
            ends = {**ends, partition: max(ends.get(partition, 0), offset + 1)}
    return LoggedTransactions(fingerprints, ends)


def audit(
    rows: Iterable[FeatureRow],
    *,
    labels: Iterable[LoggedLabel],
    transactions: LoggedTransactions | None = None,
    is_compared: Callable[[FeatureRow], bool] = lambda _: True,
    recomputed: Recomputed | None = None,
    is_backfilled: bool = False,
    refused: Iterable[FeatureRow] = (),
) -> FeatureLogReport:
    """Audit a whole feature log."""
    found = FeatureLogAudit(
        transactions=transactions,
        is_compared=is_compared,
        recomputed=recomputed,
        is_backfilled=is_backfilled,
    )
    for at, row in enumerate(rows):
        found.take(row, partition=0, offset=at)
    return found.finish(labels, refused=refused)


def decided(row: FeatureRow, at: int) -> Decision:
    """The decision on the row at an offset of the only partition."""
    return replace(
        DECISION,
        transaction_id=row.transaction.transaction_id,
        model=MODEL,
        features=row.features,
        approximate=row.approximate,
        vector=encode_row(SPEC, row.transaction, row.features),
        features_offset=Offset(partition=0, offset=at),
    )


def stored_hash(entity: Entity, state: UserState | MerchantState) -> dict[bytes, bytes]:
    """The hash in Redis, as the job writes it."""
    as_of_ms = state.newest_ms or 0
    return online_store.hash_fields(
        entity,
        state.read(as_of_ms=as_of_ms),
        state=state.encode_online(),
        sequence=state.sequence,
        event_time_ms=as_of_ms,
    )


@dataclass
class StoredHashes:
    """Redis, as far as parity reads it."""

    hashes: Mapping[str, Mapping[bytes, bytes]]

    def read(self, entity: Entity, ids: Sequence[str]) -> list[Mapping[bytes, bytes]]:
        return [self.hashes.get(each, {}) for each in ids]

    def ids(self, entity: Entity) -> list[str]:
        return list(self.hashes)


@dataclass
class System:
    """Rows, what they should be, decisions, Redis."""

    rows: list[FeatureRow]
    recomputed: Recomputed
    hashes: dict[Entity, Hashes]

    @property
    def ends(self) -> Mapping[int, int]:
        return {0: len(self.rows)}

    def decisions(self) -> list[Decision]:
        return [decided(row, at) for at, row in enumerate(self.rows)]

    def compare_decisions(
        self, decisions: Iterable[Decision], *, spec: VectorSpec | None = SPEC, **named: object
    ) -> SurfaceReport:
        comparison = DecisionComparison(
            self.recomputed, ends=self.ends, spec_of=lambda _: spec, **named
        )
        for decision in decisions:
            comparison.take(decision)
        return comparison.finish()

    def compare_rows(self, rows: list[FeatureRow]) -> SurfaceReport:
        table = feature_table(
            Record(0, at, -1, encode_feature_row(row)) for at, row in enumerate(rows)
        )
        return compare_training_rows(table, self.recomputed, ends=self.ends)

    def compare_online(
        self,
        entity: Entity,
        change: Callable[[Hashes], None] = lambda _: None,
        *,
        on_wait: Callable[[Hashes], bool] = lambda _: False,
        appeared: Set[str] = frozenset(),
    ) -> SurfaceReport:
        """Compare Redis after a change; `on_wait` may change it again, and say to look again."""
        hashes = {name: dict(fields) for name, fields in self.hashes[entity].items()}
        change(hashes)
        return OnlineComparison(entity, self.recomputed, StoredHashes(hashes)).compare(
            is_worth_waiting=lambda behind: behind > 0 and on_wait(hashes),
            appeared_since=lambda: appeared,
        )


def true_system(*, per_day: int = 60) -> System:
    """A system in which every copy is what the recomputation gives."""
    events = history(per_day=per_day)
    twin = VelocityTwin()
    rows = [row for event in events for row in twin.take(event)]
    recomputed = Recomputed()
    assert audit(rows, labels=labels_of(events), recomputed=recomputed).is_clean
    hashes: dict[Entity, Hashes] = {
        entity: {name: stored_hash(entity, state) for name, state in twin.states(entity).items()}
        for entity in ENTITIES
    }
    return System(rows, recomputed, hashes)
