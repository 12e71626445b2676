"""The API with fakes behind its ports: a store in memory, a model that always says the same.

``Service`` is an application to send requests to, with what is behind it at hand.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from prometheus_client import CollectorRegistry

from features.definitions import DEFINITION_DIGEST, Entity
from features.engine.state import MerchantState, UserState
from features.online import layout as online_store
from models.model import Model, Scores
from models.policy import Policy
from schemas.decision import ModelRef
from scoring.http import contract
from scoring.http.app import create_app
from scoring.http.metrics import build_api_metrics
from scoring.http.parts import ApiParts
from tests.asgi_client import AsgiClient
from tests.builders import LIMITS, NOW_MS, transaction_object
from tests.feature_reader_fake import FakeFeatureReader


class FixedModel:
    """Always the same score; remembers the rows it was asked for."""

    ref = ModelRef(name="weir-fraud", version="7", digest="00112233aabbccdd")
    definition_digest = DEFINITION_DIGEST
    batch_columns: tuple[str, ...] = ()

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


class Service:
    """The application with its fakes at hand."""

    def __init__(self) -> None:
        self.reader = FakeFeatureReader()
        self.models = FixedModels(FixedModel())
        self.registry = CollectorRegistry()
        self.now_ms = NOW_MS
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
            registry=self.registry,
            now_ms=lambda: self.now_ms,
        )

    def predict(self, **changes: Any) -> dict[str, Any]:
        response = self.client.post("/predict", json=transaction_object(**changes))
        assert response.status_code == 200, response.text
        contract.PredictAnswer.model_validate_json(response.content)
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
    # Every byte, since clients take dots and slashes for steps in a path.
    return "".join(f"%{byte:02x}" for byte in text.encode())
