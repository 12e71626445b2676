"""A small shop with recommendations, on real services, each with a Redis database of its own.

`Shop` publishes nights and trains rankers as the command of the example does, and asks the route in
an application in this process.
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import redis
from prometheus_client import CollectorRegistry

from examples.recommendation.model import RECOMMENDATION
from examples.recommendation.night import NightReport, run_night
from examples.recommendation.recommend import Recommender
from examples.recommendation.routes import ROUTES
from examples.recommendation.training import Trained, train_ranker
from examples.recommendation.world import Size
from examples.recommendation.world_tables import write_world
from features.definitions import DAY_MS
from models.definition import ModelDefinition
from schemas.settings import Settings
from scoring import wiring
from scoring.core.served_model import ServedModel
from scoring.http.app import create_app
from scoring.http.deadline import DEADLINE_HEADER
from scoring.http.model_routes import RoutesContext
from scoring.http.parts import ApiParts
from scoring.metrics import build_metrics
from scoring.stores.guarded_reads import connect_reads
from tests.api_service import Service
from tests.asgi_client import AsgiClient
from tests.services import Services, unique_name

SIZE = Size(users=1_200, products=300, categories=6, purchases=15)
VISITS = 500
NOW_MS = 1_790_000_000_000
REDIS_TIMEOUT_MS = 5_000
"""Long enough for a busy machine."""

_databases = itertools.count(1)


@dataclass
class Shop:
    """Settings of a deployment, and the tables of a world in its data directory."""

    settings: Settings
    definition: ModelDefinition
    now_ms: int = NOW_MS

    @classmethod
    def opened(cls, services: Services, mlflow_uri: str, data_dir: Path) -> Shop:
        """Write the tables; the registered model and the Redis database are this shop's own."""
        database = next(_databases)
        settings = services.settings.model_copy(
            update={
                "data_dir": data_dir,
                "mlflow_tracking_uri": mlflow_uri,
                "redis_url": f"{services.redis_url.rpartition('/')[0]}/{database}",
                "redis_timeout_ms": REDIS_TIMEOUT_MS,
            }
        )
        shop = cls(settings, replace(RECOMMENDATION, name=unique_name("recommendation")))
        write_world(SIZE, shop.directory, seed=11, end_ms=NOW_MS, visits=VISITS)
        return shop

    @property
    def directory(self) -> Path:
        return self.settings.data_dir / "shop"

    @property
    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.settings.redis_url)

    def night(self) -> NightReport:
        """A night a day later: Feast keeps values of the same time as they are."""
        self.now_ms += DAY_MS
        return run_night(self.settings, self.directory, now_ms=self.now_ms)

    def train(self) -> Trained:
        return train_ranker(self.settings, self.directory, seed=1, definition=self.definition)

    @contextmanager
    def api(self) -> Iterator[Api]:
        """The application with this shop's route, as it is when a process has started."""
        model, watcher = wiring.build_served_model(
            self.settings, self.definition, metrics=build_metrics(CollectorRegistry())
        )
        watcher.poll()
        service = Service()
        app = create_app(lambda: self._parts(service, model), model_routers=[ROUTES.router])
        with AsgiClient(app) as client:
            yield Api(client)

    @asynccontextmanager
    async def _parts(self, service: Service, model: ServedModel) -> AsyncIterator[ApiParts]:
        store = connect_reads(
            redis_url=self.settings.redis_url,
            timeout_ms=self.settings.redis_timeout_ms,
            clock_ms=wiring.steady_clock_ms,
            on_failure=lambda: None,
        )
        context = RoutesContext(self.settings, model, store, lambda: self.now_ms)
        async with service._parts() as parts, ROUTES.open(context) as opened:
            assert isinstance(opened, Recommender)
            yield replace(parts, opened={RECOMMENDATION.name: opened})
        await store.close()


@dataclass(frozen=True)
class Api:
    """Asks the route."""

    client: AsgiClient

    def post(self, body: Any, *, deadline_ms: int | None = None) -> httpx.Response:
        headers = {} if deadline_ms is None else {DEADLINE_HEADER: str(deadline_ms)}
        return self.client.post("/models/recommendation/rank", json=body, headers=headers)

    def rank(self, user_id: str, daypart: str | None = None) -> dict[str, Any]:
        response = self.post({"user_id": user_id, "daypart": daypart})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer
