"""The vector and the score of transactions by every way in which Weir scores.

For the test that all of them are the same to the last bit. Every way reads the histories that the
running velocity job has written to Redis, or the rows that it has written to the log.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import httpx
from redis import Redis

from clients.mlflow_rest import MlflowRest
from models.encoding.vector import vector_bytes, vector_digest
from schemas.settings import Settings
from scoring.core.ports import EntityPair
from scoring.embedded.aws_handler import make_handler
from scoring.embedded.model_directory import write_directory
from scoring.embedded.online_read import read_pair
from scoring.embedded.scorer import Scorer
from scoring.stores.champion import fetch_files
from tests.aws_events import api_gateway_v2

BATCH = 1_000
TRIES_MAX = 20
LACKED_TIME = frozenset(
    {
        "online_store_unavailable",
        "history_dropped",
        "batch_features_dropped",
        "batch_features_unavailable",
    }
)
"""What an answer says that did not get all of its inputs in time."""


class Scored(NamedTuple):
    """What one way gave for one transaction."""

    version: str
    score: float
    vector: str
    """The digest of the vector."""


def of_decision(decision: Mapping[str, Any]) -> Scored:
    """What a decision says, of the stream, of the function or of the embedded scorer."""
    return Scored(decision["model"]["version"], decision["score"], decision["vector_digest"])


def _of_answer(answer: Mapping[str, Any]) -> Scored:
    vector = [float("nan") if number is None else number for number in answer["vector"]]
    return Scored(answer["model_version"], answer["score"], vector_digest(vector_bytes(vector)))


def embedded_scorer(settings: Settings, directory: Path) -> Scorer:
    """A scorer of the user's own process, with the champion in a directory."""
    registry = MlflowRest(settings.mlflow_tracking_uri)
    champion = registry.get_alias(model=settings.model_name, alias=settings.champion_alias)
    assert champion is not None
    files = fetch_files(registry, champion)
    write_directory(directory, files, name=champion.name, version=champion.version)
    return Scorer.load(directory)


def histories(settings: Settings, events: Sequence[Mapping[str, Any]]) -> list[EntityPair]:
    """What Redis holds of the user and the merchant of each transaction."""
    with Redis.from_url(settings.redis_url) as client:
        return [
            read_pair(
                client.pipeline(transaction=False),
                user_id=event["user_id"],
                merchant_id=event["merchant_id"],
                project=settings.feast_project,
            )
            for event in events
        ]


def scored_before_they_are_streamed(
    settings: Settings, events: Sequence[dict[str, Any]], scorer: Scorer
) -> dict[str, list[Scored]]:
    """What API, batch form, function and embedded use give, in the order of the events."""
    pairs = {
        event["transaction_id"]: pair
        for event, pair in zip(events, histories(settings, events), strict=True)
    }
    function = make_handler(scorer, read_stored=lambda fields: pairs[fields["transaction_id"]])
    with httpx.Client(base_url=f"http://{settings.api_host}:{settings.api_port}") as client:
        single = [whole_answers(client, "/predict", event)[0] for event in events]
        together = whole_answers(client, "/predict/batch", {"transactions": list(events)})
    return {
        "API": [_of_answer(each) for each in single],
        "batch form": [_of_answer(each) for each in together],
        "function": [
            of_decision(json.loads(function(api_gateway_v2(json.dumps(event)), None)["body"]))
            for event in events
        ],
        "embedded": [
            _of_ad_hoc(scorer.score_transaction(event, pairs[event["transaction_id"]]))
            for event in events
        ],
    }


def whole_answers(client: httpx.Client, path: str, body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Ask until nothing was left out for lack of time, as may happen on a busy machine."""
    answers: list[dict[str, Any]] = []
    for _ in range(TRIES_MAX):
        answer = client.post(path, json=body, timeout=60.0).json()
        answers = answer.get("answers", [answer])
        if all(LACKED_TIME.isdisjoint(each["degraded"]) for each in answers):
            break
    return answers


def _of_ad_hoc(scored: Any) -> Scored:
    decision = scored.decision
    return Scored(decision.model.version, decision.score, decision.vector_digest)


def scored_from_rows(rows: Sequence[bytes], scorer: Scorer) -> list[Scored]:
    """What the embedded scorer gives for rows of the feature log."""
    return [
        Scored(each.model.version, each.score, each.vector_digest or "")
        for each in scorer.score_many(rows)
    ]
