"""1,000 events: the same vector and the same score from every way to ask for them.

The stream's batch, the API one by one, the API's batch form, the API in Lambda, the plain function
of Lambda, and the scorer in this process. The stream and the API score with ONNX Runtime, the
others walk the trees. All read one history.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from features.definitions import DEFINITION_DIGEST
from features.engine.state import MerchantState, UserState
from features.on_demand import on_demand_features
from features.online.layout import state_fields
from models.artifact.compile_forest import compile_forest
from models.artifact.files import ModelFiles
from models.artifact.load import load_model
from models.encoding.table import encode_table, vector_spec
from models.policy import Policy
from schemas.codec import transaction_from_object
from schemas.decision import Offset
from schemas.feature_row import FeatureRow, Origin
from schemas.output_codec import encode_feature_row
from scoring import Scorer
from scoring.core.decide import decide_many
from scoring.core.ports import EntityPair
from scoring.embedded.aws_handler import make_handler
from scoring.embedded.model_directory import write_directory
from scoring.http.aws_lambda import make_lambda_handler
from tests.api_service import Service, stored
from tests.aws_events import api_gateway_v2, msk
from tests.builders import LIMITS, NOW_MS, transaction_object
from tests.model_files import training_table
from training.fitting.fit import ForestParameters, fit_forest

EVENTS = 1_000
USERS, MERCHANTS = 40, 15
MODEL = {"name": "weir-fraud", "version": "7"}
POLICY = Policy(review_threshold=0.5, block_threshold=0.9)
Scored = list[tuple[list[float | None], float]]
"""The vector and the score of each event."""


class World:
    """Users and merchants with a history, and the rows that the stream computes for new events."""

    def __init__(self) -> None:
        self.service = Service()
        self.files = files_by_amount()
        self.service.models.model = load_model(
            self.files, **MODEL, trees_digest=self.files.trees_digest
        )
        users = {f"u-{at}": UserState() for at in range(USERS)}
        merchants = {f"m-{at}": MerchantState() for at in range(MERCHANTS)}
        for at in range(600):
            time_ms = NOW_MS - (600 - at) * 400_000
            user, merchant = f"u-{at * 7 % USERS}", f"m-{at * 11 % MERCHANTS}"
            users[user].fold(
                transaction_id=f"h-{at}",
                merchant_id=merchant,
                amount_minor=at * 977 % 90_000,
                event_time_ms=time_ms,
            )
            merchants[merchant].fold_transaction(
                transaction_id=f"h-{at}", event_time_ms=time_ms, is_repeat=False
            )
        self.events = [event(at) for at in range(EVENTS)]
        self.rows = [row_of(each, users, merchants) for each in self.events]
        reader = self.service.reader
        reader.users = {key: of_store("user", each) for key, each in users.items()}
        reader.merchants = {key: of_store("merchant", each) for key, each in merchants.items()}

    def pair(self, fields: Mapping[str, Any]) -> EntityPair:
        user = self.service.reader.users[fields["user_id"]]
        merchant = self.service.reader.merchants[fields["merchant_id"]]
        return EntityPair(
            [user.get(name) for name in state_fields("user")],
            [merchant.get(name) for name in state_fields("merchant")],
        )


def files_by_amount() -> ModelFiles:
    """A model whose score depends on the amount, which differs between all events."""
    table = training_table(2_000)
    chance = np.random.default_rng(5).random(len(table))
    table["is_fraud"] = chance < table["amount_minor"] / 10**9
    spec = vector_spec(table)
    forest = fit_forest(table, spec, parameters=ForestParameters(trees=20, depth_max=8), seed=1)
    return compile_forest(forest, spec, encode_table(table, spec), seed=1)


def event(at: int) -> dict[str, Any]:
    return transaction_object(
        transaction_id=f"t-{at}",
        user_id=f"u-{at % USERS}",
        merchant_id=f"m-{at * 3 % MERCHANTS}",
        amount_minor=at * 7_919_317 % 10**9,
        event_time_ms=NOW_MS - at % 50,
        device_type=("mobile", "web", "tablet")[at % 3],
        ip_country=("DE", "AT", "US")[at % 3],
    )


def of_store(entity: Any, state: UserState | MerchantState) -> dict[bytes, bytes]:
    assert state.newest_ms is not None
    return stored(entity, state, state.newest_ms)


def row_of(
    fields: dict[str, Any], users: dict[str, UserState], merchants: dict[str, MerchantState]
) -> FeatureRow:
    transaction = transaction_from_object(fields, limits=LIMITS, now_ms=NOW_MS, is_replay=False)
    # As the stream folds it, but each event without the others: that is what the API answers.
    of_user = users[transaction.user_id].peek(
        transaction_id=transaction.transaction_id,
        merchant_id=transaction.merchant_id,
        amount_minor=transaction.amount_minor,
        event_time_ms=transaction.event_time_ms,
    )
    of_merchant = merchants[transaction.merchant_id].read(as_of_ms=transaction.event_time_ms)
    return FeatureRow(
        transaction=transaction,
        features=of_user.features
        | of_merchant.features
        | on_demand_features(transaction.event_time_ms),
        approximate=of_user.approximate + of_merchant.approximate,
        definition_digest=DEFINITION_DIGEST,
        repeat=False,
        user_sequence=of_user.sequence,
        merchant_sequence=of_merchant.sequence,
        origin=Origin(partition=0, offset=0, timestamp_ms=NOW_MS),
        computed_at_ms=NOW_MS,
    )


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def expected(world: World) -> Scored:
    decisions = decide_many(
        world.rows,
        model=world.service.models.model,
        policy=POLICY,
        features_offsets=[Offset(partition=0, offset=at) for at in range(EVENTS)],
        now_ms=NOW_MS,
    )
    found = scored(json.loads(orjson.dumps([(each.vector, each.score) for each in decisions])))
    assert len({score for _, score in found}) > 50
    return found


@pytest.fixture(scope="module")
def scorer(world: World, tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    directory: Path = tmp_path_factory.mktemp("model")
    write_directory(directory, world.files, **MODEL)
    loaded = Scorer.load(directory)
    return Scorer(loaded.model, policy=POLICY, limits=LIMITS, now_ms=lambda: NOW_MS)


def scored(pairs: list[Any]) -> Scored:
    return [(vector, score) for vector, score in pairs]


def test_the_api_one_by_one_and_as_a_batch(world: World, expected: Scored) -> None:
    with world.service.client as client:
        single = [client.post("/predict", json=each).json() for each in world.events]
        together = client.post("/predict/batch", json={"transactions": world.events}).json()
    assert [(each["vector"], each["score"]) for each in single] == expected
    assert [(each["vector"], each["score"]) for each in together["answers"]] == expected


def test_the_api_in_lambda(world: World, expected: Scored) -> None:
    again = Service()
    again.reader, again.models = world.service.reader, world.service.models
    handler = make_lambda_handler(again._parts)
    body = json.dumps({"transactions": world.events})
    answer = json.loads(handler(api_gateway_v2(body, "/predict/batch"), None)["body"])
    assert [(each["vector"], each["score"]) for each in answer["answers"]] == expected


def test_the_plain_function_of_lambda(world: World, expected: Scored, scorer: Scorer) -> None:
    emitted: list[dict[str, Any]] = []
    handler = make_handler(
        scorer,
        read_stored=world.pair,
        emit=lambda decision: emitted.append(orjson.loads(decision)),
    )
    answers = [
        json.loads(handler(api_gateway_v2(json.dumps(each)), None)["body"]) for each in world.events
    ]
    assert [(each["vector"], each["score"]) for each in answers] == expected
    handler(msk([encode_feature_row(each) for each in world.rows]), None)
    assert [(each["vector"], each["score"]) for each in emitted] == expected


def test_the_scorer_in_this_process(world: World, expected: Scored, scorer: Scorer) -> None:
    of_rows = scorer.score_many(world.rows)
    of_events = [scorer.score_transaction(each, world.pair(each)).decision for each in world.events]
    for decisions in (of_rows, of_events):
        found = json.loads(orjson.dumps([(each.vector, each.score) for each in decisions]))
        assert scored(found) == expected
