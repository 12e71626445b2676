from dataclasses import replace

import pytest

from infra.simulation.arrivals import FirstArrivals, RunIds
from schemas.output_codec import encode_decision
from tests.builders import DECISION


def decision_bytes(transaction_id: str) -> bytes:
    return encode_decision(replace(DECISION, transaction_id=transaction_id))


@pytest.mark.parametrize("number", [0, 6, 7])
def test_the_id_in_a_record_and_the_id_itself_have_the_same_position(number: int) -> None:
    ids = RunIds("b1", count=7)
    wanted = number if number < 7 else None
    assert ids.position_of(f"b1-{number}") == wanted
    assert ids.position_in(decision_bytes(f"b1-{number}")) == wanted


@pytest.mark.parametrize("transaction_id", ["b10-3", "b-3", "t-1", "xb1-3"])
def test_ids_of_others_have_no_position(transaction_id: str) -> None:
    ids = RunIds("b1", count=7)
    assert ids.position_of(transaction_id) is None
    assert ids.position_in(decision_bytes(transaction_id)) is None


def test_the_first_id_added_is_position_0() -> None:
    ids = RunIds("d1")
    for number in (60_000, 60_001):
        ids.add(f"d1-{number:08d}")
    assert ids.count == 2
    assert [ids.position_of(f"d1-{number:08d}") for number in (59_999, 60_000, 60_001, 60_002)] == [
        None,
        0,
        1,
        None,
    ]


def test_labels_of_the_run_belong_to_it() -> None:
    ids = RunIds("d1")
    assert ids.is_of_run("d1-00000007@123")
    assert not ids.is_of_run("d10-7")


def test_a_transaction_arrives_once_and_then_repeats() -> None:
    arrivals = FirstArrivals(count=2)
    arrivals.expect()
    assert [arrivals.note(position) for position in (2, 0, 2, 2)] == [True, True, False, False]
    assert (arrivals.arrived, arrivals.repeats, arrivals.missing) == (2, 2, 1)
