"""The API with fakes behind its ports: a store in memory, a model with a fixed score.

``Service`` is an application to send requests to; its fakes are attributes that a test changes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest

from features.batch import BATCH_NAMES, BATCH_VIEW
from features.definitions import DEFINITION_DIGEST, Entity
from features.engine.state import MerchantState, UserState
from features.online import feast_values
from features.online import layout as online_store
from models.definition import ModelDefinition
from models.encoding.vector import VectorSpec
from models.model import Model, ReadRowsModel, Scores
from models.policy import Policy
from schemas.decision import ModelRef
from schemas.rollout_state import RolloutReading
from scoring.core.rollouts import RolloutInUse, RolloutStanding
from scoring.core.served_model import ServedModel
from scoring.http.answers.predict import PredictAnswer
from scoring.http.answers.problem import Problem
from scoring.http.app import create_app
from scoring.http.keys.gate import Gate
from scoring.http.metrics import build_api_metrics
from scoring.http.parts import ApiParts
from scoring.http.problems import PROBLEM_TYPE
from tests.asgi_client import AsgiClient
from tests.builders import LIMITS, NOW_MS, transaction_object
from tests.feature_reader_fake import FakeFeatureReader
from tests.rollout_fakes import MemoryRolloutLog, rollout_commands
from tests.stored_users import StoredUsers


class FixedModel:
    """Gives every row the same score and the same vector; keeps the rows it was given."""

    ref = ModelRef(name="weir-fraud", version="7", digest="00112233aabbccdd")
    definition_digest = DEFINITION_DIGEST
    batch_columns: tuple[str, ...] = ()
    spec: VectorSpec | None = None
    reader: ReadRowsModel | None = None

    def __init__(self, score: float = 0.95) -> None:
        self._score = score
        self.rows: list[Any] = []

    def score(self, rows: Any) -> Scores:
        self.rows.extend(rows)
        return Scores([self._score] * len(rows), vectors=[[1.0]] * len(rows))


class FixedModels:
    def __init__(self, model: Model) -> None:
        self.model = model
        self.refused: dict[str, str] = {}

    def current(self) -> Model:
        return self.model


class FixedRollouts:
    """A `RolloutSource` that a test sets."""

    def __init__(self) -> None:
        self.in_use: RolloutInUse | None = None
        self.active: RolloutStanding | None = None

    def current(self) -> RolloutInUse | None:
        return self.in_use

    def standing(self) -> RolloutStanding | None:
        return self.active


class Service:
    """The application, its client and its fakes."""

    def __init__(self) -> None:
        self.reader = FakeFeatureReader()
        self.models = FixedModels(FixedModel())
        self.registry = CollectorRegistry()
        self.now_ms = NOW_MS
        # Long enough for a busy machine; tests of the deadline say so.
        self.deadline_ms = 30_000
        self.gate: Gate | None = None
        self.rollouts = FixedRollouts()
        self.rollout_log = MemoryRolloutLog()
        self.rollout_readings: dict[str, RolloutReading] = {}
        self.definitions: dict[str, ModelDefinition] = {}
        self.served_models: dict[str, ServedModel] = {}
        self.user_inputs = StoredUsers()
        self.client = AsgiClient(create_app(self._parts))

    @asynccontextmanager
    async def _parts(self) -> AsyncIterator[ApiParts]:
        yield ApiParts(
            reader=self.reader,
            models=self.models,
            refused_models=lambda: self.models.refused,
            policy=Policy(review_threshold=0.5, block_threshold=0.9),
            limits=LIMITS,
            staleness_ms_max=3_600_000,
            metrics=build_api_metrics(self.registry),
            metrics_page=lambda: generate_latest(self.registry),
            now_ms=lambda: self.now_ms,
            deadline_ms=self.deadline_ms,
            read_timeout_ms=self.deadline_ms,
            rollouts=self.rollouts,
            rollout_commands=rollout_commands(self.rollout_log),
            rollout_reading=self.rollout_readings.get,
            gate=self.gate,
            definitions=self.definitions,
            served_models=self.served_models,
            user_inputs=self.user_inputs,
        )

    def predict(self, **changes: Any) -> dict[str, Any]:
        response = self.client.post("/predict", json=transaction_object(**changes))
        assert response.status_code == 200, response.text
        PredictAnswer.model_validate_json(response.content)
        answer: dict[str, Any] = response.json()
        return answer

    def remember_user(self, user_id: str, *event_times_ms: int, amount_minor: int = 1_000) -> None:
        state = UserState()
        for number, event_time_ms in enumerate(event_times_ms):
            state.fold(
                transaction_id=f"{user_id}-{number}",
                merchant_id=f"m-{number}",
                amount_minor=amount_minor,
                event_time_ms=event_time_ms,
            )
        self.reader.users[user_id] = stored("user", state, event_times_ms[-1])

    def remember_merchant(self, merchant_id: str, *event_times_ms: int) -> None:
        state = MerchantState()
        for number, event_time_ms in enumerate(event_times_ms):
            state.fold_transaction(
                transaction_id=f"{merchant_id}-{number}",
                event_time_ms=event_time_ms,
                is_repeat=False,
            )
        self.reader.merchants[merchant_id] = stored("merchant", state, event_times_ms[-1])

    def remember_batch_features(self, user_id: str, snapshot_ms: int, count: int) -> None:
        self.remember_user(user_id, NOW_MS - 60_000)
        self.reader.users[user_id] = {
            **self.reader.users[user_id],
            online_store.timestamp_field(BATCH_VIEW): feast_values.timestamp_value(snapshot_ms),
            **{
                online_store.field_name(BATCH_VIEW, name): feast_values.int64_value(count)
                for name in BATCH_NAMES
            },
        }


def assert_problem(response: httpx.Response, status: int, *texts: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM_TYPE
    problem = Problem.model_validate_json(response.content)
    assert problem.status == status
    for text in texts:
        assert text in problem.detail
    return problem.model_dump()


def stored(
    entity: Entity, state: UserState | MerchantState, event_time_ms: int
) -> dict[bytes, bytes]:
    return online_store.hash_fields(
        entity,
        state.read(as_of_ms=event_time_ms),
        state=state.encode_online(),
        sequence=state.sequence,
        event_time_ms=event_time_ms,
    )


def damaged(fields: Mapping[bytes, bytes], entity: Entity, state: bytes) -> dict[bytes, bytes]:
    field = online_store.field_name(online_store.VIEWS[entity], online_store.STATE_FEATURE)
    return {**fields, field: state}


def percent_encoded(text: str) -> str:
    # Every byte, because clients resolve dots and slashes in a path.
    return "".join(f"%{byte:02x}" for byte in text.encode())
