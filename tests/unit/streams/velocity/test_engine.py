"""What the engine makes of records, without Flink: rows, dead letters, keys."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.definitions import DEFINITION_DIGEST, FEATURE_NAMES
from schemas import codec, topics
from schemas.errors import InvalidEventError
from tests.builders import LIMITS, NOW_MS, label_object, transaction_object, wire
from tests.journaled_stage import ONE_OPERATOR, SPLIT
from tests.unit.streams.velocity.story import Story, row_of

DAY_MS = 86_400_000
OPERATORS = pytest.mark.parametrize("operators", [ONE_OPERATOR, SPLIT], ids=["one", "split"])


@OPERATORS
def test_a_transaction_becomes_one_row_keyed_by_its_user_with_every_feature(
    operators: Sequence[tuple[int, int]],
) -> None:
    story = Story(operators=operators)
    row = story.transaction(user_id="ü😀", merchant_id="é😀")
    (record,) = story.produced
    assert record.key == "ü😀".encode()
    assert row["transaction"] == transaction_object(user_id="ü😀", merchant_id="é😀")
    assert list(row["features"]) == list(FEATURE_NAMES)
    assert row["features"]["user_transaction_count_5m"] == 1
    assert row["definition_digest"] == DEFINITION_DIGEST
    assert row["origin"] == {"partition": 1, "offset": 0, "timestamp_ms": NOW_MS}
    assert row["computed_at_ms"] == NOW_MS
    assert (row["repeat"], row["user_sequence"], row["merchant_sequence"]) == (False, 1, 1)


def test_a_row_has_cloudevents_headers_with_type_and_transaction_id() -> None:
    story = Story()
    story.transaction(transaction_id="t-9")
    expected = topics.cloud_event_headers(
        event_type=topics.FEATURE_ROW_TYPE,
        event_id="t-9",
        source="/weir/streams",
        time_ms=NOW_MS,
    )
    assert story.produced[0].headers == expected


def test_a_replay_may_be_ahead_of_the_clock_and_its_row_is_marked_as_replay() -> None:
    story = Story()
    body = wire(transaction_object(event_time_ms=NOW_MS + DAY_MS))
    (row,) = story.feed(story.frame(body, headers=[topics.REPLAY_HEADER]))
    assert dict(row.headers)["weir-replay"] == b"1"
    (letter,) = story.feed(story.frame(body))
    assert letter.topic == topics.DEAD_LETTERS.encode()


@OPERATORS
def test_a_second_delivery_is_counted_once_by_user_and_by_merchant(
    operators: Sequence[tuple[int, int]],
) -> None:
    story = Story(operators=operators)
    story.transaction(transaction_id="t-1")
    repeat = story.transaction(transaction_id="t-1", amount_minor=7)
    assert repeat["repeat"]
    assert (repeat["user_sequence"], repeat["merchant_sequence"]) == (1, 1)
    after = story.transaction(transaction_id="t-2")
    assert after["features"]["user_transaction_count_5m"] == 2
    assert (after["user_sequence"], after["merchant_sequence"]) == (2, 2)


@OPERATORS
def test_a_repeat_has_the_content_of_its_first_delivery_and_meets_its_merchant_also_after_a_crash(
    operators: Sequence[tuple[int, int]],
) -> None:
    story = Story(operators=operators)
    first = story.transaction(transaction_id="t-1", device_type="ü", ip_country=None)
    story.job.crash()
    resumed = [stage.resumed_total for stage in story.job.stages]
    repeat = story.transaction(
        transaction_id="t-1", merchant_id="other", amount_minor=7, event_time_ms=NOW_MS - DAY_MS
    )
    assert repeat == {**first, "repeat": True, "origin": repeat["origin"]}
    assert repeat["transaction"]["device_type"] == "ü"
    assert "ip_country" not in repeat["transaction"]
    # In one operator the merchant is known only once the user's journal is there.
    rounds = [s.resumed_total - r for s, r in zip(story.job.stages, resumed, strict=True)]
    assert rounds == ([2] if operators is ONE_OPERATOR else [0, 1, 1])


@OPERATORS
def test_fraud_counts_once_its_label_was_observed_and_its_delay_has_passed(
    operators: Sequence[tuple[int, int]],
) -> None:
    story = Story(operators=operators)
    # The transaction is at -7 d, its label was observed at -5 d. The window as of now is
    # (now - 7 d - 1 d, now - 7 d]: closed on the right, so it contains the transaction.
    old_ms = NOW_MS - 7 * DAY_MS
    story.transaction(transaction_id="old", event_time_ms=old_ms)
    story.label(transaction_id="old", event_time_ms=old_ms, observed_time_ms=NOW_MS - 5 * DAY_MS)
    features = story.transaction(transaction_id="new", user_id="u-2")["features"]
    assert features["merchant_transaction_count_1d_delay_7d"] == 1
    assert features["merchant_fraud_rate_1d_delay_7d"] == 1.0


@OPERATORS
@pytest.mark.parametrize("topic", [topics.TRANSACTIONS, topics.LABELS])
@pytest.mark.parametrize("value", [None, b"\x00\xff", b"{", b'{"user_id":1}'])
def test_bad_input_becomes_an_unchanged_dead_letter_and_the_rest_of_its_batch_is_processed(
    operators: Sequence[tuple[int, int]], topic: str, value: bytes | None
) -> None:
    story = Story(operators=operators)
    good = [wire(transaction_object(transaction_id=f"t-{number}")) for number in range(2)]
    before, letter, after = story.feed(
        story.frame(good[0]),
        story.frame(value, topic=topic, headers=[("trace", b"\x01")]),
        story.frame(good[1]),
    )
    assert letter.topic == topics.DEAD_LETTERS.encode()
    assert (letter.value, letter.timestamp_ms) == (value, NOW_MS)
    headers = dict(letter.headers)
    assert headers["trace"] == b"\x01"
    assert headers["__connect.errors.topic"] == topic.encode()
    assert (headers["__connect.errors.partition"], headers["__connect.errors.offset"]) == (
        b"1",
        b"1",
    )
    assert headers["__connect.errors.stage"] == b"decode"
    counts = [row_of(record)["features"]["user_transaction_count_5m"] for record in (before, after)]
    assert counts == [1, 2]


def test_a_dead_letter_has_the_reason_of_the_codec() -> None:
    story = Story()
    value = wire(transaction_object(amount_minor=-1))
    (letter,) = story.feed(story.frame(value))
    with pytest.raises(InvalidEventError) as refused:
        codec.decode_transaction(value, limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    headers = dict(letter.headers)
    assert headers["__connect.errors.exception.message"].decode() == str(refused.value)
    assert headers["__connect.errors.exception.class.name"] == b"schemas.errors.InvalidEventError"


@pytest.mark.parametrize("topic", [topics.TRANSACTIONS, topics.LABELS])
def test_a_record_of_another_weir_type_is_refused_although_its_body_is_valid(topic: str) -> None:
    story = Story()
    is_label = topic == topics.LABELS
    value = wire(label_object() if is_label else transaction_object())
    other = topics.TRANSACTION_TYPE if is_label else topics.LABEL_TYPE
    (letter,) = story.feed(story.frame(value, topic=topic, headers=[("ce_type", other.encode())]))
    assert letter.topic == topics.DEAD_LETTERS.encode()


def test_a_record_that_the_engine_leaves_to_python_is_folded_in_its_place() -> None:
    story = Story()
    values = [
        transaction_object(transaction_id=f"t-{number}", amount_minor=number) for number in range(3)
    ]
    escaped = wire({**values[1], "note": "\\"})
    records = story.feed(*map(story.frame, (wire(values[0]), escaped, wire(values[2]))))
    sums = [row_of(record)["features"]["user_amount_sum_5m"] for record in records]
    assert sums == [0, 1, 3]


@OPERATORS
def test_an_unknown_field_of_1500_digits_changes_neither_validity_nor_key(
    operators: Sequence[tuple[int, int]],
) -> None:
    """One parse decides both. With a parse of its own, the JVM routed alice's event to bob."""
    story = Story(operators=operators)
    digits = b'{"note":' + b"1" * 1_500 + b","

    def sent(transaction_id: str, user_id: str, amount_minor: int) -> bytes:
        return wire(
            transaction_object(
                transaction_id=transaction_id, user_id=user_id, amount_minor=amount_minor
            )
        )

    records = story.feed(
        story.frame(sent("a1", "alice", 1)),
        story.frame(digits + sent("a2", "alice", 10)[1:]),
        story.frame(digits + sent("b1", "bob", 100)[1:]),
    )
    found = [
        (record.key, features["user_transaction_count_5m"], features["user_amount_sum_5m"])
        for record in records
        for features in (row_of(record)["features"],)
    ]
    assert found == [(b"alice", 1, 1), (b"alice", 2, 11), (b"bob", 1, 100)]
    story.job.crash()
    after = story.transaction(transaction_id="a3", user_id="alice", amount_minor=1_000)["features"]
    assert (after["user_transaction_count_5m"], after["user_amount_sum_5m"]) == (3, 1_011)


def test_the_key_of_a_journal_is_that_of_its_events() -> None:
    story = Story(operators=SPLIT)
    story.transaction(user_id="u-1", merchant_id="m-1")
    story.label(merchant_id="m-2")
    of_users, of_merchants = (stage.journals for stage in story.job.stages[1:])
    assert set(of_users) == {(0, "u-1")}
    assert set(of_merchants) == {(1, "m-1"), (1, "m-2")}


PIECES = st.sampled_from(
    [
        *(b'"', b"\\", b"{", b"}", b",", b":", b" ", b"\x00", b"\xff", b"\xc3\xa9", b"0", b"-1"),
        *(b"1e2", b"1.0", b"true", b"null", b'"user_id":"z",', b'"note":{"user_id":"z"},'),
        *(b'"amount_minor":7,', b"\\u0041", b"\\ud800", b"9" * 30, b"EUR", b"\xef\xbb\xbf"),
    ]
)


@given(st.data())
def test_what_the_engine_takes_is_what_the_codec_takes(data: st.DataObject) -> None:
    """Mutated records: the same are valid, and they mean the same."""
    value = wire(transaction_object(user_id="ü"))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(value)))
        end = data.draw(st.integers(at, min(len(value), at + 4)))
        value = value[:at] + data.draw(PIECES) + value[end:]
    story = Story()
    (record,) = story.feed(story.frame(value))
    try:
        expected = codec.decode_transaction(value, limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    except InvalidEventError:
        assert record.topic == topics.DEAD_LETTERS.encode()
        assert record.value == value
    else:
        assert record.key == expected.user_id.encode()
        assert orjson.loads(record.value or b"")["transaction"] == expected.to_wire()
