import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from features.batch import BATCH_NAMES
from models.heuristic import HEURISTIC
from models.policy import Policy
from schemas import topics
from schemas.dead_letter import read_dead_letter
from schemas.decision import Decision, Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import decode_decision, encode_feature_row
from schemas.topics import REPLAY_HEADER, cloud_event_headers
from scoring.core.errors import DeliveryError
from scoring.metrics import build_metrics
from scoring.worker.batch import BatchScorer, Channels
from scoring.worker.feature_log import Record
from tests.builders import NOW_MS
from tests.scoring_fakes import (
    FixedModel,
    FixedSource,
    MemoryBatchReader,
    MemoryFeatureLog,
    MemorySink,
    MemoryStore,
    feature_row,
)


class Bench:
    """A batch scorer, access to its parts, and a clock that advances with each reading."""

    def __init__(self) -> None:
        self.models = FixedSource(HEURISTIC)
        self.store = MemoryStore()
        self.log = MemoryFeatureLog()
        self.batch_reader = MemoryBatchReader()
        self.sink = MemorySink()
        self.registry = CollectorRegistry()
        self._clock: Iterator[int] = iter(range(NOW_MS, NOW_MS + 1_000))
        self.metrics = build_metrics(self.registry)
        self.scorer = self.new_scorer()

    def new_scorer(self) -> BatchScorer:
        return BatchScorer(
            models=self.models,
            policy=Policy(review_threshold=0.5, block_threshold=0.9),
            store=self.store,
            log=self.log,
            batch_reader=self.batch_reader,
            sink=self.sink,
            clock_ms=lambda: next(self._clock),
            metrics=self.metrics,
            channels=Channels(),
        )

    def score(self, *records: Record) -> None:
        for each in records:
            if each.value is not None:
                self.log.rows[Offset(each.partition, each.offset)] = each.value
        asyncio.run(self.scorer.score(records))

    def count(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
def bench() -> Bench:
    return Bench()


def record(
    row: FeatureRow | bytes | None, *, offset: int = 0, headers: tuple[tuple[str, bytes], ...] = ()
) -> Record:
    return Record(
        topic=topics.FEATURES,
        partition=1,
        offset=offset,
        timestamp_ms=NOW_MS - 7,
        key=b"u-1",
        value=encode_feature_row(row) if isinstance(row, FeatureRow) else row,
        headers=list(headers),
    )


def test_a_row_becomes_a_decision_keyed_by_user_with_the_position_in_the_log(bench: Bench) -> None:
    bench.score(record(feature_row("t-9"), offset=41))
    (sent,) = bench.sink.records
    assert sent.topic == topics.DECISIONS
    assert sent.key == b"u-1"
    assert sent.value is not None
    decision = decode_decision(sent.value)
    assert (decision.features_offset.partition, decision.features_offset.offset) == (1, 41)
    assert decision.transaction_id == "t-9"
    headers = dict(sent.headers)
    assert headers["ce_id"] == b"t-9"
    assert headers["ce_type"] == topics.DECISION_TYPE.encode()
    assert topics.HEADER_REPLAY not in headers


def test_the_decision_of_a_replay_is_marked_as_replay(bench: Bench) -> None:
    bench.score(record(feature_row("t-1"), headers=(REPLAY_HEADER,)), record(feature_row("t-2")))
    assert [topics.is_replay(sent.headers) for sent in bench.sink.records] == [True, False]  # type: ignore[arg-type]


def test_a_decision_has_the_trace_context_of_its_row(bench: Bench) -> None:
    context = [("traceparent", b"00-1-2-01"), ("tracestate", b"a=1")]
    headers = (("other", b"x"), context[1], context[0], ("tracestate", b"a=1"))
    too_long = (("traceparent", b"x" * (topics.PASSED_ON_BYTES_MAX + 1)), ("tracestate", None))
    bench.score(
        record(feature_row("t-1"), headers=headers), record(feature_row("t-2"), headers=too_long)
    )
    first, second = (dict(sent.headers) for sent in bench.sink.records)
    assert {**first, **dict(context)} == first
    assert "other" not in first
    assert second.keys().isdisjoint(topics.PASSED_ON_HEADERS)


def test_a_repeat_gets_the_first_decision_byte_for_byte_whatever_has_changed(
    bench: Bench,
) -> None:
    bench.score(record(feature_row("t-1"), offset=0))
    bench.models.model = FixedModel(0.99, version="2")
    bench.score(record(feature_row("t-1"), offset=9), record(feature_row("t-2"), offset=10))
    first, repeat, new = bench.sink.records
    assert repeat.value == first.value
    assert repeat.key == first.key
    assert repeat.headers == first.headers
    assert new.value is not None
    assert decode_decision(new.value).decision == "BLOCK"
    assert bench.count("scoring_repeats_total") == 1


def test_a_repeat_within_a_batch_gets_the_earlier_decision(bench: Bench) -> None:
    bench.score(record(feature_row("t-1"), offset=0), record(feature_row("t-1"), offset=1))
    first, repeat = bench.sink.records
    assert repeat.value == first.value


def test_an_id_of_another_user_gets_the_first_decision_and_is_counted(bench: Bench) -> None:
    row = feature_row("t-1")
    other = replace(row, transaction=replace(row.transaction, user_id="another", amount_minor=7))
    bench.score(record(row, offset=0))
    bench.models.model = FixedModel(0.99, version="2")
    bench.score(record(other, offset=9), record(row, offset=10))
    first, conflicting, repeat = bench.sink.records
    assert conflicting.value == repeat.value == first.value
    assert conflicting.key == first.key
    assert bench.count("scoring_conflicting_ids_total") == 1
    assert bench.count("scoring_repeats_total") == 2


def test_without_the_store_decisions_continue_and_are_marked_as_degraded(bench: Bench) -> None:
    bench.store.is_away = True
    bench.score(record(feature_row("t-1")))
    (sent,) = bench.sink.records
    assert sent.value is not None
    assert decode_decision(sent.value).degraded == ("no_model", "decision_store_unavailable")
    assert bench.count("scoring_degraded_total", missing="decision_store_unavailable") == 1
    assert bench.count("scoring_repeats_total") == 0


WRONG_TYPE = cloud_event_headers(event_type=topics.LABEL_TYPE, event_id="x", source="/x", time_ms=0)
INCOMPLETE = encode_feature_row(feature_row()).replace(b'"user_transaction_count_5m"', b'"other"')


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        (None, ()),
        (b"", ()),
        (b"\xff\x00", ()),
        (b"[]", ()),
        (b"{}", ()),
        (INCOMPLETE, ()),
        (encode_feature_row(feature_row()), tuple(WRONG_TYPE)),
    ],
)
def test_a_bad_record_becomes_a_dead_letter_and_its_neighbours_are_decided(
    bench: Bench, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    bad = record(value, offset=5, headers=headers)
    bench.score(record(feature_row("t-1"), offset=4), bad, record(feature_row("t-2"), offset=6))
    by_topic = {sent.topic: sent for sent in bench.sink.records}
    assert len(bench.sink.records) == 3
    letter = by_topic[topics.DEAD_LETTERS]
    assert (letter.key, letter.value, letter.timestamp_ms) == (bad.key, value, bad.timestamp_ms)
    assert letter.headers[: len(headers)] == list(headers)
    why = read_dead_letter(letter.headers)  # type: ignore[arg-type]
    assert (why.topic, why.partition, why.offset, why.stage) == (topics.FEATURES, 1, 5, "score")
    assert why.exception_class == "schemas.errors.InvalidEventError"
    assert bench.count("scoring_dead_letters_total") == 1


def test_a_row_of_other_definitions_may_lack_any_feature(bench: Bench) -> None:
    bench.score(record(INCOMPLETE.replace(b'"definition_digest":"', b'"definition_digest":"x')))
    (sent,) = bench.sink.records
    assert sent.topic == topics.DECISIONS


def test_valid_then_invalid_then_valid_are_each_answered(bench: Bench) -> None:
    for at, value in enumerate((feature_row("t-1"), b"junk", feature_row("t-2"))):
        bench.score(record(value, offset=at))
    sent = [outgoing.topic for outgoing in bench.sink.records]
    assert sent == [topics.DECISIONS, topics.DEAD_LETTERS, topics.DECISIONS]


def test_a_batch_that_the_broker_refuses_fails_and_its_repeat_gives_the_same_bytes(
    bench: Bench,
) -> None:
    bench.sink.error = DeliveryError("away")
    with pytest.raises(DeliveryError):
        bench.score(record(feature_row("t-1")))
    bench.sink.error = None
    bench.models.model = FixedModel(0.99)
    bench.score(record(feature_row("t-1")))
    (sent,) = bench.sink.records
    assert sent.value is not None
    decision = decode_decision(sent.value)
    assert (decision.model.name, decision.decided_at_ms) == ("heuristic", NOW_MS)
    assert bench.log.reads == []


def test_a_batch_is_scored_by_one_model_in_one_call(bench: Bench) -> None:
    model = FixedModel(0.2)
    bench.models.model = model
    bench.score(*(record(feature_row(f"t-{at}"), offset=at) for at in range(50)))
    assert model.calls == [50]


def test_a_repeat_keeps_the_batch_features_of_the_first_decision(bench: Bench) -> None:
    bench.models.model = FixedModel(0.2, batch_columns=BATCH_NAMES)
    bench.batch_reader.complete = b"%d" % NOW_MS
    bench.score(record(feature_row("t-1"), offset=0))
    bench.batch_reader.is_away = True
    bench.score(record(feature_row("t-1"), offset=1), record(feature_row("t-2"), offset=2))
    first, repeat, other = bench.sink.records
    assert first.value is not None
    assert other.value is not None
    assert repeat.value == first.value
    decision = decode_decision(first.value)
    assert (decision.batch_as_of_ms, decision.degraded) == (NOW_MS, ())
    assert decision.features[BATCH_NAMES[0]] == 0
    degraded = decode_decision(other.value)
    assert (degraded.batch_as_of_ms, degraded.degraded) == (None, ("batch_features_unavailable",))
    assert degraded.features[BATCH_NAMES[0]] is None
    assert bench.batch_reader.calls == [["u-1"], ["u-1"]]
    assert bench.count("scoring_degraded_total", missing="batch_features_unavailable") == 1


def test_a_model_without_batch_features_reads_none(bench: Bench) -> None:
    bench.models.model = FixedModel(0.2)
    bench.score(record(feature_row("t-1")))
    assert bench.batch_reader.calls == []


def repeated_without(bench: Bench, lose: Callable[[], None]) -> Decision:
    """A first decision, something is lost, then a repeat at another place and another model."""
    bench.models.model = FixedModel(0.7)
    bench.score(record(feature_row("t-1"), offset=0))
    lose()
    bench.scorer = bench.new_scorer()
    bench.models.model = FixedModel(0.1, version="2")
    row = feature_row("t-1", features={"user_transaction_count_5m": 9})
    bench.score(record(row, offset=9))
    assert bench.count("scoring_repeats_total") == 1
    value = bench.sink.records[-1].value
    assert value is not None
    return decode_decision(value)


def test_a_repeat_whose_first_row_cannot_be_read_has_its_own_features_and_says_so(
    bench: Bench,
) -> None:
    decision = repeated_without(bench, bench.log.rows.clear)
    assert (decision.decision, decision.score, decision.model.version) == ("REVIEW", 0.7, "1")
    assert decision.features_offset == Offset(1, 0)
    assert decision.degraded == ("first_row_unavailable",)
    assert decision.features["user_transaction_count_5m"] == 9


def test_a_repeat_whose_first_row_is_of_another_transaction_now_says_so(bench: Bench) -> None:
    other = encode_feature_row(feature_row("t-2"))
    decision = repeated_without(bench, lambda: bench.log.rows.update({Offset(1, 0): other}))
    assert decision.degraded == ("first_row_unavailable",)


def test_a_repeat_whose_context_is_lost_keeps_outcome_and_score(bench: Bench) -> None:
    decision = repeated_without(bench, bench.store.contexts.clear)
    assert (decision.decision, decision.score, decision.model.name) == ("REVIEW", 0.7, "unknown")
    assert decision.degraded == ("first_context_lost",)
    assert decision.features["user_transaction_count_5m"] == 0


def test_the_rows_of_the_repeats_of_a_batch_are_read_in_one_go(bench: Bench) -> None:
    ids = [f"t-{at}" for at in range(3)]
    bench.score(*(record(feature_row(each), offset=at) for at, each in enumerate(ids)))
    bench.score(*(record(feature_row(each), offset=9 + at) for at, each in enumerate(ids)))
    assert bench.log.reads == [[Offset(1, 0), Offset(1, 1), Offset(1, 2)]]
    values = [sent.value for sent in bench.sink.records]
    assert values[:3] == values[3:]
