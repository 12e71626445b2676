"""Redis that is not what the recomputation gives, or not yet."""

import pytest

from features.definitions import FEATURE_NAMES, Entity
from features.online import feast_values
from features.online import layout as online_store
from operations.parity.report import SurfaceReport
from tests.builders import NOW_MS
from tests.parity_world import ENTITIES, Hashes, System, history, stored_hash, true_system
from tests.velocity_twin import VelocityTwin


@pytest.fixture(scope="module")
def system() -> System:
    return true_system()


def test_true_entities_have_no_difference(system: System) -> None:
    users = system.compare_online("user")
    assert users == SurfaceReport(checked=len(system.hashes["user"]) * 17 * 2)
    merchants = system.compare_online("merchant")
    assert merchants == SurfaceReport(checked=len(system.hashes["merchant"]) * 6 * 2)


@pytest.mark.parametrize("entity", ENTITIES)
def test_missing_wrong_newer_and_extra_entities_are_told_apart(
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

    def change(hashes: Hashes) -> None:
        del hashes[lost]
        hashes[wrong][value_field] = feast_values.int64_value(999_999)
        hashes[ahead][online_store.sequence_field(view)] = b"99999999"
        state = online_store.field_name(view, online_store.STATE_FEATURE)
        hashes[damaged][state] = feast_values.bytes_value(b"damaged")
        hashes["odd"] = dict(hashes[wrong])
        hashes["half"] = {online_store.sequence_field(view): b"7"}
        hashes["of another view"] = {b"_ts:user_statistics": b""}
        hashes["new"] = {
            **hashes[wrong],
            online_store.timestamp_field(view): feast_values.timestamp_value(NOW_MS * 2),
        }

    report = system.compare_online(entity, change)
    counted = (report.missing, report.mismatched, report.newer, report.extra)
    assert counted == (1, 2, 2, 2)
    told = {(each.transaction_id, each.feature.split()[0]) for each in report.differences}
    assert told == {(wrong, "stored"), (damaged, "state")}


def test_an_unknown_entity_that_is_in_later_rows_is_newer(system: System) -> None:
    def change(hashes: Hashes) -> None:
        hashes["odd"] = dict(next(iter(hashes.values())))

    assert system.compare_online("user", change).extra == 1
    report = system.compare_online("user", change, appeared={"odd"})
    assert (report.extra, report.newer) == (0, 1)


def states_halfway(system: System) -> Hashes:
    """The hashes of users after half of the events."""
    twin = VelocityTwin()
    for event in history(per_day=60)[: len(system.rows) // 2]:
        twin.take(event)
    return {name: stored_hash("user", state) for name, state in twin.states("user").items()}


def test_a_state_that_stays_behind_gives_other_values(system: System) -> None:
    report = system.compare_online("user", lambda hashes: hashes.update(states_halfway(system)))
    assert report.mismatched > 0
    assert {each.feature.split()[0] for each in report.differences} == {"stored", "state's"}


def test_entities_that_are_behind_or_not_there_yet_are_read_again(system: System) -> None:
    first = next(iter(system.hashes["user"]))

    def change(hashes: Hashes) -> None:
        hashes.update(states_halfway(system))
        hashes.pop(first, None)

    def catches_up(hashes: Hashes) -> bool:
        hashes.update(system.hashes["user"])
        return True

    report = system.compare_online("user", change, on_wait=catches_up)
    assert report == SurfaceReport(checked=len(system.hashes["user"]) * 17 * 2)
