"""Topics, their headers, and which records are refused by their type."""

import pytest

from schemas.errors import InvalidEventError
from schemas.topics import (
    DEAD_LETTERS,
    DECISION_TYPE,
    FEATURE_ROW_TYPE,
    HEADER_REPLAY,
    REPLAY_HEADER,
    TOPICS,
    TRANSACTION_TYPE,
    check_event_type,
    cloud_event_headers,
    is_replay,
    read_header,
)


def test_topics_and_keys_are_those_of_the_contract() -> None:
    assert {topic.name: topic.key for topic in TOPICS} == {
        "transactions": "user_id",
        "labels": "merchant_id",
        "features": "user_id",
        "decisions": "user_id",
        "shadow-decisions": "user_id",
        "dead-letters": None,
        "rollouts": "rollout_id/change_id",
        "rollout-state": "rollout_id",
    }


def test_no_topic_forgets_by_time_and_only_the_state_of_rollouts_by_key() -> None:
    # A replayed record may be years old by its timestamp, and the logs are ground state. Changes of
    # rollouts have unique keys, so compaction keeps them; snapshots replace each other.
    for topic in TOPICS:
        assert topic.config["retention.ms"] == "-1"
    assert {topic.name for topic in TOPICS if topic.config["cleanup.policy"] != "delete"} == {
        "rollouts",
        "rollout-state",
    }


def test_only_the_topics_of_rollouts_have_one_order_for_all_records() -> None:
    assert {topic.name for topic in TOPICS if topic.partitions == 1} == {
        "rollouts",
        "rollout-state",
    }
    assert {topic.partitions for topic in TOPICS} == {1, None}


def test_a_dead_letter_has_room_for_the_largest_record_and_its_headers() -> None:
    broker_default_bytes = 1_048_588
    config = next(topic.config for topic in TOPICS if topic.name == DEAD_LETTERS)
    assert int(config["max.message.bytes"]) >= broker_default_bytes + 64 * 1024


def test_headers_are_cloud_events_in_binary_mode() -> None:
    headers = cloud_event_headers(
        event_type=DECISION_TYPE, event_id="t-ü", source="/weir/scoring", time_ms=1_795_478_400_007
    )
    assert sorted(headers) == [
        ("ce_id", "t-ü".encode()),
        ("ce_source", b"/weir/scoring"),
        ("ce_specversion", b"1.0"),
        ("ce_time", b"2026-11-24T00:00:00.007Z"),
        ("ce_type", b"weir.decision.v1"),
        ("content-type", b"application/json"),
    ]


@pytest.mark.parametrize(
    ("time_ms", "expected"),
    [
        (0, b"1970-01-01T00:00:00.000Z"),
        (999, b"1970-01-01T00:00:00.999Z"),
        (253_402_300_799_999, b"9999-12-31T23:59:59.999Z"),
    ],
)
def test_the_time_in_a_header_is_exact_to_the_millisecond(time_ms: int, expected: bytes) -> None:
    headers = cloud_event_headers(
        event_type=TRANSACTION_TYPE, event_id="t-1", source="/", time_ms=time_ms
    )
    assert dict(headers)["ce_time"] == expected


def test_the_last_header_of_a_name_is_read() -> None:
    assert read_header([("a", b"1"), ("b", b"2"), ("a", b"3")], "a") == b"3"
    assert read_header([("a", b"1")], "A") is None
    assert read_header([], "a") is None
    assert read_header(None, "a") is None


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([REPLAY_HEADER], True),
        ([("other", b"x"), (HEADER_REPLAY, b"1")], True),
        ([(HEADER_REPLAY, b"1"), (HEADER_REPLAY, b"0")], False),
        ([(HEADER_REPLAY, b"true")], False),
        ([(HEADER_REPLAY, b"")], False),
        ([(HEADER_REPLAY, None)], False),
        ([("Weir-Replay", b"1")], False),
        ([], False),
        (None, False),
    ],
)
def test_a_replay_is_a_record_with_exactly_this_header(
    headers: list[tuple[str, bytes | None]] | None, expected: bool
) -> None:
    assert is_replay(headers) is expected


@pytest.mark.parametrize(
    "headers",
    [
        None,
        [],
        [("ce_type", TRANSACTION_TYPE.encode())],
        [("ce_type", b"com.shop.paid")],
        [("ce_type", None)],
    ],
)
def test_a_record_of_the_expected_type_or_of_a_producers_own_is_accepted(
    headers: list[tuple[str, bytes | None]] | None,
) -> None:
    check_event_type(headers, expected=TRANSACTION_TYPE)


@pytest.mark.parametrize("given", [FEATURE_ROW_TYPE.encode(), b"weir.transaction.v2", b"weir.\xff"])
def test_a_record_of_ours_in_the_wrong_topic_is_refused(given: bytes) -> None:
    with pytest.raises(
        InvalidEventError, match=r"this topic holds weir\.transaction\.v1"
    ) as caught:
        check_event_type([("ce_type", given)], expected=TRANSACTION_TYPE)
    assert caught.value.field == "ce_type"
