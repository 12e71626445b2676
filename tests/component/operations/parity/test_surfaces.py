from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count

import orjson
import pytest
from operations.parity.audit import LoggedLabel, ParityReport, audit
from operations.parity.recomputed import Recomputed
from operations.parity.rows import compare_training_rows

from clients.log_record import Record
from features.batch import BATCH_NAMES, NO_HISTORY
from features.definitions import DAY_MS, FEATURE_NAMES, Entity
from features.online import feast_values
from features.online import layout as online_store
from infra.simulation.event import Event
from infra.simulation.world import World
from models.encoding.vector import CATEGORY_COLUMNS, STREAM_COLUMNS, VectorSpec
from operations.parity.surfaces import (
    FullReport,
    SurfaceReport,
    compare_decisions,
    compare_online,
)
from schemas.codec import decode_label
from schemas.decision import Decision, ModelRef, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_feature_row
from schemas.transaction import Limits
from tests.builders import DECISION, NOW_MS
from tests.velocity_twin import VelocityTwin
from training.datasets.read_log import feature_table

MODEL = ModelRef(name="weir-fraud", version="3", digest="d" * 16)
SPEC = VectorSpec(STREAM_COLUMNS, dict.fromkeys(CATEGORY_COLUMNS, ("DE", "mobile")))
BROKEN = "merchant_transaction_count_7d_delay_7d"
KINDS: tuple[Entity, ...] = ("user", "merchant")


@dataclass
class System:
    """A small world as everybody sees it: rows, what they should be, decisions, Redis."""

    rows: list[FeatureRow]
    recomputed: Recomputed
    hashes: dict[Entity, dict[str, dict[bytes, bytes]]]

    @property
    def ends(self) -> Mapping[int, int]:
        return {0: len(self.rows)}

    def decisions(self) -> list[Decision]:
        return [decided(row, at) for at, row in enumerate(self.rows)]

    def compare_decisions(self, decisions: list[Decision]) -> SurfaceReport:
        return compare_decisions(decisions, self.recomputed, ends=self.ends, spec_of=lambda _: SPEC)

    def compare_rows(self, rows: list[FeatureRow]) -> SurfaceReport:
        table = feature_table(
            Record(0, at, 0, encode_feature_row(row)) for at, row in enumerate(rows)
        )
        return compare_training_rows(table, self.recomputed, ends=self.ends)

    def compare_online(
        self, entity: Entity, change: Callable[[dict[str, dict[bytes, bytes]]], None]
    ) -> SurfaceReport:
        hashes = {name: dict(fields) for name, fields in self.hashes[entity].items()}
        change(hashes)

        def read(ids: Sequence[str]) -> list[dict[bytes, bytes]]:
            return [hashes.get(each, {}) for each in ids]

        return compare_online(entity, self.recomputed, read=read, stored=list(hashes))


def decided(row: FeatureRow, at: int) -> Decision:
    return replace(
        DECISION,
        transaction_id=row.transaction.transaction_id,
        model=MODEL,
        features=row.features,
        approximate=row.approximate,
        vector=SPEC.encode(row.transaction, row.features),
        features_offset=Offset(partition=0, offset=at),
    )


def stored_hash(entity: Entity, state: object) -> dict[bytes, bytes]:
    """As the job writes it."""
    as_of_ms = state.newest_ms or 0
    return online_store.hash_fields(
        entity,
        state.read(as_of_ms=as_of_ms),
        state=state.encode_online(),
        sequence=state.sequence,
        event_time_ms=as_of_ms,
    )


def labels_of(events: list[Event]) -> list[LoggedLabel]:
    return [
        LoggedLabel(decode_label(event.value, limits=Limits(), now_ms=0, is_replay=True), 0)
        for event in events
        if not event.is_transaction
    ]


@pytest.fixture(scope="module")
def system() -> System:
    world = World(seed=11, run="p")
    start_ms = NOW_MS - 14 * DAY_MS
    events = list(world.history(start_ms=start_ms, end_ms=NOW_MS, transactions_per_day=60))
    twin = VelocityTwin()
    rows = [row for event in events for row in twin.take(event)]
    recomputed = Recomputed()
    assert audit(rows, labels=labels_of(events), recomputed=recomputed).is_clean
    hashes = {
        entity: {name: stored_hash(entity, state) for name, state in states.items()}
        for entity, states in zip(KINDS, (twin._users, twin._merchants), strict=True)
    }
    return System(rows, recomputed, hashes)


def test_what_was_recomputed_is_the_row_to_the_last_value(system: System) -> None:
    assert len(system.recomputed) == len(system.rows)
    for row in system.rows:
        features = system.recomputed.features(row.transaction.transaction_id)
        assert list(features) == list(FEATURE_NAMES)
        assert features == row.features


def test_a_true_system_has_no_difference_on_any_surface(system: System) -> None:
    width = len(FEATURE_NAMES)
    decisions = system.compare_decisions(system.decisions())
    assert decisions == SurfaceReport(checked=len(system.rows) * (width + len(STREAM_COLUMNS)))
    rows = system.compare_rows(system.rows)
    assert rows == SurfaceReport(checked=len(system.rows) * (width + 1))
    users = system.compare_online("user", lambda _: None)
    assert users == SurfaceReport(checked=len(system.hashes["user"]) * 17 * 2)
    merchants = system.compare_online("merchant", lambda _: None)
    assert merchants == SurfaceReport(checked=len(system.hashes["merchant"]) * 6 * 2)
    report = FullReport(ParityReport(checked=7), {"decisions": decisions, "users": users})
    assert report.is_clean
    line = orjson.loads(report.to_json())
    assert line["checked"] == 7 + decisions.checked + users.checked
    assert line["surfaces"]["decisions"]["checked"] == decisions.checked


def test_a_broken_value_is_found_in_decision_vector_and_training_row(system: System) -> None:
    def broken(row: FeatureRow) -> FeatureRow:
        return replace(row, features={**row.features, BROKEN: (row.features[BROKEN] or 0) + 1})

    rows = [broken(row) for row in system.rows]
    decisions = system.compare_decisions([decided(row, at) for at, row in enumerate(rows)])
    assert decisions.mismatched == 2 * len(rows)
    assert {each.feature for each in decisions.differences} == {BROKEN, f"vector {BROKEN}"}
    training = system.compare_rows(rows)
    assert training.mismatched == len(rows)
    assert {each.feature for each in training.differences} == {BROKEN}
    assert len(training.differences) == 10


def test_a_vector_that_is_not_that_of_its_features_is_found_alone(system: System) -> None:
    first, *others = system.decisions()
    assert first.vector is not None
    wrong = replace(first, vector=[first.vector[0] + 1, *first.vector[1:]])
    short = replace(others[0], vector=[1.0])
    report = system.compare_decisions([wrong, short, *others[1:]])
    assert report.mismatched == 2
    assert [each.feature for each in report.differences] == ["vector amount_minor", "vector"]


def test_a_heuristic_has_no_vector_and_an_unknown_model_is_taken_at_its_features(
    system: System,
) -> None:
    without = [replace(decision, vector=None) for decision in system.decisions()]
    wanted = SurfaceReport(checked=len(system.rows) * len(FEATURE_NAMES))
    assert system.compare_decisions(without) == wanted
    report = compare_decisions(
        system.decisions(), system.recomputed, ends=system.ends, spec_of=lambda _: None
    )
    assert report == wanted


def test_missing_repeated_newer_and_extra_decisions_are_told_apart(system: System) -> None:
    decisions = system.decisions()
    end = len(decisions)
    fresh = replace(decisions[0], transaction_id="new", features_offset=Offset(0, end))
    nowhere = replace(decisions[0], transaction_id="odd", features_offset=Offset(0, end - 1))
    report = system.compare_decisions([*decisions[1:], decisions[5], fresh, nowhere])
    counted = (report.missing, report.repeats, report.newer, report.extra, report.mismatched)
    assert counted == (1, 1, 1, 1, 0)
    assert not report.is_clean


def test_missing_and_extra_training_rows_are_counted(system: System) -> None:
    report = system.compare_rows(system.rows[1:])
    assert (report.missing, report.extra, report.mismatched) == (1, 0, 0)
    first = system.rows[0]
    stranger = replace(first, transaction=replace(first.transaction, transaction_id="odd"))
    report = system.compare_rows([stranger, *system.rows, replace(
        stranger, transaction=replace(first.transaction, transaction_id="new")
    )])  # fmt: skip
    # The last one lies where the recomputation had not read yet; so does the last true row.
    assert (report.missing, report.extra, report.newer) == (0, 1, 1)


def test_what_a_copy_of_the_log_has_not_copied_yet_is_newer_and_what_it_lost_is_missing(
    system: System,
) -> None:
    kept = system.rows[:-3]
    table = feature_table(
        Record(0, at, 0, encode_feature_row(row)) for at, row in enumerate(kept) if at != 7
    )
    places = {row.transaction.transaction_id: (0, at) for at, row in enumerate(system.rows)}
    recomputed = replace(system.recomputed, places=places)
    report = compare_training_rows(table, recomputed, ends=system.ends, held={0: len(kept)})
    assert (report.missing, report.newer, report.extra, report.mismatched) == (1, 3, 0, 0)


@pytest.mark.parametrize("entity", KINDS)
def test_what_redis_lacks_has_wrong_has_newer_and_has_too_much_is_told_apart(
    system: System, entity: Entity
) -> None:
    view = online_store.VIEWS[entity]
    value_field = next(
        name for name in (
            online_store.field_name(view, feature) for feature in FEATURE_NAMES
        ) if name in next(iter(system.hashes[entity].values()))
    )  # fmt: skip
    names = iter(system.hashes[entity])
    lost, wrong, ahead, damaged = (next(names) for _ in range(4))

    def change(hashes: dict[str, dict[bytes, bytes]]) -> None:
        del hashes[lost]
        hashes[wrong][value_field] = feast_values.int64_value(999_999)
        hashes[ahead][online_store.sequence_field(view)] = b"99999999"
        state = online_store.field_name(view, online_store.STATE_FEATURE)
        hashes[damaged][state] = feast_values.bytes_value(b"damaged")
        hashes["odd"] = dict(hashes[wrong])
        hashes["half"] = {online_store.sequence_field(view): b"7"}
        hashes["of another view"] = {b"_ts:user_totals": b""}
        hashes["new"] = {
            **hashes[wrong],
            online_store.timestamp_field(view): feast_values.timestamp_value(NOW_MS * 2),
        }

    report = system.compare_online(entity, change)
    counted = (report.missing, report.mismatched, report.newer, report.extra)
    assert counted == (1, 2, 2, 2)
    told = {(each.transaction_id, each.feature.split()[0]) for each in report.differences}
    assert told == {(wrong, "stored"), (damaged, "state")}


def test_a_state_that_is_behind_gives_other_values(system: System) -> None:
    twin = VelocityTwin()
    world = World(seed=11, run="p")
    start_ms = NOW_MS - 14 * DAY_MS
    numbers = count()
    for event in world.history(start_ms=start_ms, end_ms=NOW_MS, transactions_per_day=60):
        if next(numbers) < len(system.rows) // 2:
            twin.take(event)

    def change(hashes: dict[str, dict[bytes, bytes]]) -> None:
        for name, state in twin._users.items():
            hashes[name] = stored_hash("user", state)

    report = system.compare_online("user", change)
    assert report.mismatched > 0
    assert {each.feature.split()[0] for each in report.differences} == {"stored", "state's"}


def test_where_a_label_came_late_the_decision_must_say_what_the_row_says() -> None:
    world = World(seed=11, run="p")
    start_ms = NOW_MS - 14 * DAY_MS
    events = list(world.history(start_ms=start_ms, end_ms=NOW_MS, transactions_per_day=80))
    twin = VelocityTwin()
    rows = [row for event in events if event.is_transaction for row in twin.take(event)]
    recomputed = Recomputed()
    late = [replace(each, timestamp_ms=5_000_000_000_000) for each in labels_of(events)]
    assert audit(rows, labels=late, recomputed=recomputed).raced > 0
    decisions = [decided(row, at) for at, row in enumerate(rows)]
    report = compare_decisions(decisions, recomputed, ends={0: len(rows)}, spec_of=lambda _: SPEC)
    assert report.is_clean


def test_a_vector_with_batch_features_is_held_to_what_its_decision_says(system: System) -> None:
    spec = replace(SPEC, columns=(*STREAM_COLUMNS, *BATCH_NAMES))
    told: list[str] = []

    def with_batch(decision: Decision, row: FeatureRow) -> Decision:
        features = {**decision.features, **NO_HISTORY}
        vector = spec.encode(row.transaction, features)
        return replace(decision, features=features, vector=vector)

    true = [
        with_batch(decision, row)
        for decision, row in zip(system.decisions(), system.rows, strict=True)
    ]
    first = true[0]
    assert first.vector is not None
    wrong = replace(first, vector=[*first.vector[:-1], 0.5])
    lacking = replace(true[1], features=system.decisions()[1].features)
    for decisions, mismatched in ((true, 0), ([wrong, lacking, *true[2:]], 1 + 4 + 3)):
        report = compare_decisions(
            decisions,
            system.recomputed,
            ends=system.ends,
            spec_of=lambda _: spec,
            also=lambda decision: told.append(decision.transaction_id),
        )
        # Of the lacking one: each name, and each number of the vector that is none without it.
        assert report.mismatched == mismatched, report.differences
        assert len(told) == len(true)
        told.clear()
