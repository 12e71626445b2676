"""Churn, the second model: from its definition to a champion, predictions in bulk, and answers.

A small world of shoppers, with which parity is 0, in logs, archive and Redis of this module; the
parts of the batch are scored by a real Flink.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from examples.churn.model import CHURN
from examples.churn.steps import (
    REFERENCE,
    ask_online,
    check_equal,
    read_predictions,
    score_all,
    train_twice_checked,
    write_features,
)
from examples.churn.world import World
from features.batch import ACTIVITY
from features.definitions import DAY_MS, HOUR_MS
from features.online.feast_values import int64_value
from features.online.layout import VIEWS, entity_key, field_name
from features.user_inputs import DAYS_IDLE
from infra.local.flink_client import flink_client
from models.catalogue import settings_of
from models.errors import SignatureMismatchError
from operations.batch_scoring.errors import NoModelToScoreWithError, NoRowsToScoreError
from operations.flink_client import FlinkClient
from operations.training_run.request import Rows
from operations.training_run.run import train_model_of_users
from schemas.label import Label
from schemas.settings import Settings
from schemas.transaction import Transaction
from scoring import Scorer
from scoring.embedded.model_directory import load_directory
from scoring.http.app import create_app
from scoring.http.parts import ApiParts, open_api_parts
from tests.asgi_client import AsgiClient
from tests.logged_system import END_MS, LoggedSystem, logged_services
from tests.services import Services, unique_name
from tests.train_command import fails, weir
from training.registry.versions import ModelVersions

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*Any type hint is inferred:UserWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
)

NOW_MS = END_MS + HOUR_MS
WORLD = World(shoppers=90, days=100, end_ms=END_MS, currency="EUR")
PROGRAMS = ("mlflow", "jobmanager", "batch", "postgres")
LABELLED = 3
"""The archive has a table of labels once there is one."""


@dataclass(frozen=True)
class Churn:
    services: Services
    settings: Settings

    @property
    def client(self) -> FlinkClient:
        assert self.services.stack is not None
        return flink_client(self.services.stack, log="churn")

    def score(self, *, as_of_ms: int = END_MS) -> Any:
        return score_all(
            self.settings,
            self.client,
            self.settings.predictions_url,
            as_of_ms=as_of_ms,
            now_ms=NOW_MS,
            say=print,
        )

    def predictions(self) -> dict[str, tuple[float, str]]:
        return read_predictions(self.settings.predictions_url, prediction_date="2026-03-28")

    @property
    def versions(self) -> ModelVersions:
        return ModelVersions.from_settings(settings_of(self.settings, CHURN))

    @asynccontextmanager
    async def parts(self) -> AsyncIterator[ApiParts]:
        async with open_api_parts(self.settings) as parts:
            yield replace(parts, now_ms=lambda: NOW_MS, deadline_ms=30_000, read_timeout_ms=30_000)


def shoppers() -> tuple[list[Transaction], list[Label]]:
    transactions = WORLD.transactions()
    labels = [
        Label(t.transaction_id, t.merchant_id, t.event_time_ms, t.event_time_ms, is_fraud=False)
        for t in transactions[:LABELLED]
    ]
    return transactions, labels


@pytest.fixture(scope="module")
def churn(local_services: Services, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Churn]:
    stack = local_services.stack
    assert stack is not None
    # They start while the logs are written.
    stack.up(programs=PROGRAMS, wait=False)
    system = LoggedSystem.folded(world=shoppers)
    archive = str(tmp_path_factory.mktemp("churn") / "archive")
    system.archive(archive)
    with logged_services(system) as logs:
        stack.wait_ready(PROGRAMS)
        settings = stack.settings.model_copy(
            update={
                "archive_url": archive,
                "models": REFERENCE,
                "kafka_bootstrap": logs.settings.kafka_bootstrap,
                "redis_url": logs.settings.redis_url,
                "feast_project": logs.settings.feast_project,
                "topic_partitions": 1,
            }
        )
        yield Churn(local_services, settings)
        for program in ("batch", "jobmanager", "postgres"):
            stack.stop(program)


def posted(client: AsgiClient, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
    response = client.post(path, json=dict(body))
    return response.status_code, response.json()


def test_a_second_model_is_trained_scored_in_bulk_and_answered_online_alike(
    churn: Churn, tmp_path: Path
) -> None:
    settings = churn.settings
    with pytest.raises(NoModelToScoreWithError, match="weir train --model churn"):
        churn.score()
    assert write_features(settings, churn.client, now_ms=NOW_MS).snapshots >= WORLD.days
    rows = Rows(days=WORLD.days)
    first = train_twice_checked(settings, rows, now_ms=NOW_MS, say=print)
    assert first.verdict.promotes, first.verdict.reason
    again = train_model_of_users(settings, CHURN, rows, now_ms=NOW_MS)
    assert (again.verdict.promotes, again.blocked) == (False, False)
    assert "not better by more than noise" in again.verdict.reason
    champion = churn.versions.champion()
    assert champion is not None
    assert (champion.name, champion.version) == ("churn", first.version.version)

    model = tmp_path / "model"
    downloaded = weir(settings, "models", "download", str(model), "--model", "churn")
    assert downloaded.exit_code == 0, downloaded.output
    assert f"churn version {champion.version} is in" in downloaded.output
    ref = load_directory(model, columns=CHURN.columns).ref
    assert (ref.name, ref.version, ref.digest) == ("churn", champion.version, champion.trees_digest)
    with pytest.raises(SignatureMismatchError, match=DAYS_IDLE):
        Scorer.load(model)

    report = churn.score()
    assert set(report.outcomes) == set(CHURN.policy.outcomes)
    batch = churn.predictions()
    assert len(batch) == report.rows > WORLD.shoppers / 3
    with AsgiClient(create_app(churn.parts)) as client:
        online = ask_online(lambda path, body: posted(client, path, body), list(batch), singles=5)
        assert check_equal(batch, online) == len(batch)
        listed = {one["name"]: one for one in client.get("/models").json()["models"]}
        assert listed["churn"]["champion"]["version"] == champion.version
        status, problem = posted(client, "/models/churn/predict", {"user_id": "stranger"})
        assert (status, problem["detail"]) == (404, "no history for user 'stranger'")
    assert len({score for score, _ in batch.values()}) > 5
    with pytest.raises(NoRowsToScoreError, match="name other days"):
        churn.score(as_of_ms=WORLD.first_ms - DAY_MS)
    assert churn.predictions() == batch


def test_a_value_that_differs_keeps_a_version_from_being_the_champion(churn: Churn) -> None:
    other = replace(CHURN, name=unique_name("churn"))
    user_id = WORLD.transactions()[-1].user_id
    key = entity_key("user", user_id, churn.settings.feast_project)
    broken = [
        field_name(VIEWS["user"], "user_transaction_count_7d"),
        field_name(ACTIVITY.name, "user_transaction_count_30d_batch"),
    ]
    with Redis.from_url(churn.settings.redis_url) as client:
        before = client.hmget(key, broken)
        client.hset(key, mapping=dict.fromkeys(broken, int64_value(77)))
        try:
            outcome = train_model_of_users(
                churn.settings, other, Rows(days=WORLD.days), now_ms=NOW_MS
            )
        finally:
            client.hset(key, mapping=dict(zip(broken, before, strict=True)))
    assert outcome.blocked
    wrong = "parity is not 0: online_users has 1 mismatched, online_user_activity has 1 mismatched"
    assert outcome.verdict.reason.startswith(wrong)
    assert ModelVersions.from_settings(settings_of(churn.settings, other)).champion() is None


def test_a_training_that_cannot_be_says_what_to_do(churn: Churn) -> None:
    settings = churn.settings
    fails(weir(settings, "train", "--model", "chrun"), "no model 'chrun'", "weir-fraud, churn")
    fails(
        weir(
            settings, "train", "--model", "churn", "--from", "2026-03-20", "--until", "2026-03-25"
        ),
        "known 30 days after a row",
    )
    fails(weir(settings, "train", "--model", "churn", "--source", "log"), "data set of days")
    download = weir(
        settings, "models", "download", "nowhere", "--model", "churn", "--version", "99"
    )
    fails(download, "churn has no version 99", "weir models list --model churn")
    listed = weir(settings, "models", "list", "--model", "churn")
    assert listed.exit_code == 0, listed.output
