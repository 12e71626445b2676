"""First decisions for tests: what a worker keeps of one in Redis, and what it sends."""

from __future__ import annotations

from confluent_kafka import Message, Producer
from redis import Redis

from models.policy import Policy
from schemas.decision import Offset
from schemas.feature_row import FeatureRow
from schemas.output_codec import encode_decision, encode_feature_row
from schemas.topics import FEATURES
from scoring.core.decide import decide, for_log
from scoring.core.first_decision import DecisionContext, FirstDecision, context_digest
from scoring.stores.kept_decisions import CONTEXTS_KEY, day_keys, id_digest
from tests.builders import NOW_MS
from tests.scoring_fakes import FixedModel

POLICY = Policy(review_threshold=0.5, block_threshold=0.9)


def keep_decision(client: Redis, row: FeatureRow, place: Offset, *, now_s: int) -> bytes:
    """Keep a decision about a row as the first one; gives it as it was sent.

    Args:
        client: of the Redis to keep it in.
        row: that was decided on.
        place: where the row is in the feature log.
        now_s: the day to keep it for, s since 1970 UTC.
    """
    model = FixedModel(0.75)
    decision = decide(row, model=model, policy=POLICY, features_offset=place, now_ms=NOW_MS)
    context = DecisionContext(model.ref, POLICY, (), model.spec).to_json()
    digest = context_digest(context)
    client.hset(CONTEXTS_KEY, digest, context)  # type: ignore[arg-type] # bytes
    today, *_ = day_keys(now_s, ttl_s=600)
    first = FirstDecision(decision.score, digest, decision.decision, place, NOW_MS)
    field = id_digest(row.transaction.transaction_id.encode())
    client.hset(today, field, first.pack())  # type: ignore[arg-type] # bytes
    return encode_decision(for_log(decision, degraded=()))


def send_row(bootstrap: str, row: FeatureRow) -> Offset:
    """Write a row to the feature log; gives its place."""
    places: list[Offset] = []

    def sent(error: object, message: Message) -> None:
        assert error is None, error
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        places.append(Offset(partition, offset))

    producer = Producer({"bootstrap.servers": bootstrap})
    key = row.transaction.user_id.encode()
    producer.produce(FEATURES, encode_feature_row(row), key=key, on_delivery=sent)
    assert producer.flush(30) == 0
    return places[0]
