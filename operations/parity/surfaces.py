"""Compares what a recomputation gives with what was decided on and what Redis holds.

Each surface is a copy of the features that somebody reads: the decisions with their vectors,
Redis; `parity_rows` has the rows of training, `parity` the feature log. Pure; knows no Kafka, no
Redis and no registry: the command line reads and hands over iterables.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from math import isnan
from typing import Final, TypeAlias

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES, Entity
from features.engine.state import MerchantState, UserState, Values
from features.online import layout as online_store
from models.encoding.vector import VectorSpec
from operations.parity.audit import DIFFERENCES_KEPT, Difference, ParityReport
from operations.parity.recomputed import EntityValues, Recomputed, Value
from schemas.decision import Decision, ModelRef

ENTITIES_AT_ONCE: Final = 500
COUNTS: Final = ("checked", "mismatched", "missing", "extra")

StoredHash: TypeAlias = Mapping[bytes, bytes]
"""All fields of one entity in Redis; empty if it is not there."""
FeatureEnds: TypeAlias = Mapping[int, int]
"""By partition of the feature log, the offset after the last row that was recomputed."""

_KINDS: Final[dict[Entity, type[UserState] | type[MerchantState]]] = {
    "user": UserState,
    "merchant": MerchantState,
}


@dataclass(slots=True)
class SurfaceReport:
    """What one surface says, against the recomputation.

    Attributes:
        checked: values compared.
        mismatched: of them, those that differ.
        missing: what should be there and is not: transactions, or entities.
        extra: what is there and comes from nothing in the logs.
        repeats: further records of a transaction; the first one is compared.
        newer: what came after the recomputation had read the feature log; not compared.
        differences: the first few.
    """

    checked: int = 0
    mismatched: int = 0
    missing: int = 0
    extra: int = 0
    repeats: int = 0
    newer: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether the surface says what the recomputation gives, and nothing else."""
        return not (self.mismatched or self.missing or self.extra)

    def differs(
        self, identity: str, name: str, *, found: Value | str, recomputed: Value | str
    ) -> None:
        """Count a value that differs, and keep it if it is one of the first."""
        self.mismatched += 1
        if len(self.differences) < DIFFERENCES_KEPT:
            self.differences.append(Difference(identity, name, found, recomputed))


@dataclass(frozen=True, slots=True)
class FullReport:
    """The feature log and every surface that was asked for.

    Attributes:
        feature_log: what the audit of the feature log found.
        surfaces: the others, by name.
    """

    feature_log: ParityReport
    surfaces: dict[str, SurfaceReport]

    @property
    def is_clean(self) -> bool:
        """Whether everything says what the recomputation gives."""
        surfaces = self.surfaces.values()
        return self.feature_log.is_clean and all(surface.is_clean for surface in surfaces)

    def counts(self) -> dict[str, dict[str, int]]:
        """Give checked, mismatched, missing and extra of each surface, the feature log first."""
        everything: dict[str, ParityReport | SurfaceReport] = {
            "feature_log": self.feature_log,
            **self.surfaces,
        }
        return {
            name: {count: getattr(report, count) for count in COUNTS}
            for name, report in everything.items()
        }

    def to_json(self) -> str:
        """Give it as one line: the sums, what is told of the feature log alone, each surface."""
        counts = self.counts()
        sums = {name: sum(of_surface[name] for of_surface in counts.values()) for name in COUNTS}
        log = self.feature_log
        return json.dumps(
            {
                **sums,
                "rows": log.rows,
                "raced": log.raced,
                "gaps": log.gaps,
                "repeats": log.repeats,
                "surfaces": {
                    "feature_log": {
                        **counts["feature_log"],
                        "differences": [asdict(each) for each in log.differences],
                    },
                    **{name: asdict(surface) for name, surface in self.surfaces.items()},
                },
            }
        )


def _say_nothing(_: Decision) -> None:
    pass


def compare_decisions(
    decisions: Iterable[Decision],
    recomputed: Recomputed,
    *,
    ends: FeatureEnds,
    spec_of: Callable[[ModelRef], VectorSpec | None],
    also: Callable[[Decision], None] = _say_nothing,
) -> SurfaceReport:
    """Compare the features and the vectors that were decided on, value by value.

    Args:
        decisions: the whole log, each partition in offset order; the first of a transaction
            stands.
        recomputed: what they should say.
        ends: how far the feature log was recomputed; decisions on later rows are newer.
        spec_of: the specification a model's vectors were made by; None if nobody knows it any
            more, then only the features are compared.
        also: told of each decision that is compared; batch features are compared elsewhere.
    """
    report = SurfaceReport()
    seen: set[str] = set()
    for decision in decisions:
        transaction_id = decision.transaction_id
        if transaction_id in seen:
            report.repeats += 1
        elif transaction_id in recomputed:
            seen.add(transaction_id)
            _compare_features(report, decision, recomputed)
            _compare_vector(report, decision, recomputed, spec_of)
            also(decision)
        elif decision.features_offset.offset >= ends.get(decision.features_offset.partition, 0):
            report.newer += 1
        else:
            seen.add(transaction_id)
            report.extra += 1
    report.missing = len(recomputed) - sum(1 for each in recomputed.ids() if each in seen)
    return report


def compare_online(
    entity: Entity,
    recomputed: Recomputed,
    *,
    read: Callable[[Sequence[str]], Sequence[StoredHash]],
    stored: Iterable[str],
) -> SurfaceReport:
    """Compare an entity's view in Redis: the stored values, and those its stored state gives.

    Args:
        entity: whose.
        recomputed: what they should be, as of the newest event of each.
        read: gives the hashes of some ids, in their order.
        stored: all ids that Redis holds, read last.
    """
    report = SurfaceReport()
    wanted = recomputed.entities[entity]
    newest_ms = max((each.event_time_ms for each in wanted.values()), default=0)
    ids = iter(wanted)
    while some := list(islice(ids, ENTITIES_AT_ONCE)):
        for entity_id, found in zip(some, read(some), strict=True):
            _compare_entity(report, entity, entity_id, found, wanted[entity_id])
    unknown = (each for each in stored if each not in wanted)
    while some := list(islice(unknown, ENTITIES_AT_ONCE)):
        for found in read(some):
            _count_unknown(report, entity, found, newest_ms)
    return report


def _compare_features(report: SurfaceReport, decision: Decision, recomputed: Recomputed) -> None:
    marks = recomputed.marks(decision.transaction_id)
    ours = recomputed.values(decision.transaction_id)
    is_old = decision.definition_digest != DEFINITION_DIGEST
    for name, value in zip(FEATURE_NAMES, ours, strict=True):
        # Decided by other definitions, which had not all of these features.
        if is_old and name not in decision.features:
            continue
        report.checked += 1
        found = decision.features.get(name, "absent")
        is_equal = found is None if isnan(value) else found == value
        if not is_equal or (name in decision.approximate) != (name in marks):
            report.differs(decision.transaction_id, name, found=found, recomputed=value)


def _compare_vector(
    report: SurfaceReport,
    decision: Decision,
    recomputed: Recomputed,
    spec_of: Callable[[ModelRef], VectorSpec | None],
) -> None:
    spec = spec_of(decision.model) if decision.vector is not None else None
    if spec is None or decision.vector is None:
        return
    transaction_id = decision.transaction_id
    features = recomputed.features(transaction_id)
    for name in spec.batch_columns:
        # What they should be, snapshots say; here the vector is held to what the decision says.
        features[name] = decision.features.get(name)
        if name not in decision.features:
            report.differs(transaction_id, name, found="absent", recomputed="a batch feature")
    ours = spec.encode(recomputed.transaction(transaction_id), features)
    report.checked += len(ours)
    if len(decision.vector) != len(ours):
        report.differs(transaction_id, "vector", found=len(decision.vector), recomputed=len(ours))
        return
    for name, found, value in zip(spec.columns, decision.vector, ours, strict=True):
        if found != value and not (isnan(found) and isnan(value)):
            report.differs(transaction_id, f"vector {name}", found=found, recomputed=value)


def _compare_entity(
    report: SurfaceReport,
    entity: Entity,
    entity_id: str,
    found: StoredHash,
    wanted: EntityValues,
) -> None:
    try:
        stored = online_store.decode_hash(entity, found)
        if stored is None:
            report.missing += 1
            return
        if stored.sequence > wanted.values.sequence:
            report.newer += 1
            return
        state = _KINDS[entity].decode(stored.state)
        of_state: Values | None = state.read(as_of_ms=wanted.event_time_ms)
    except ValueError as error:
        of_state = None
        report.differs(entity_id, "state", found=f"{error!s:.80}", recomputed="a state")
    fields = online_store.hash_fields(
        entity,
        wanted.values,
        state=b"",
        sequence=wanted.values.sequence,
        event_time_ms=wanted.event_time_ms,
    )
    view = online_store.VIEWS[entity]
    report.checked += len(wanted.values.features) * (1 if of_state is None else 2)
    for name, value in wanted.values.features.items():
        at = online_store.field_name(view, name)
        if found.get(at) != fields[at]:
            shown = f"bytes {found[at].hex()}" if at in found else "absent"
            report.differs(entity_id, f"stored {name}", found=shown, recomputed=value)
        if of_state is not None and of_state.features[name] != value:
            report.differs(
                entity_id, f"state's {name}", found=of_state.features[name], recomputed=value
            )


def _count_unknown(
    report: SurfaceReport, entity: Entity, found: StoredHash, newest_ms: int
) -> None:
    """Count an entity that no row is of: newer than the log as it was read, or out of nowhere.

    A hash without any field of our view holds other views of the same entity, and is not ours.
    """
    try:
        stored = online_store.decode_hash(entity, found)
    except online_store.OnlineStoreBytesError:
        report.extra += 1
        return
    if stored is None:
        return
    if stored.event_time_ms > newest_ms or stored.digest != DEFINITION_DIGEST:
        report.newer += 1
    else:
        report.extra += 1
