"""The steps of the example on a running stack, each a call of the platform.

Nothing here knows how features are computed, a model is fitted or a score is stored: the definition
(`examples.churn.model`) says what, the platform does it. Called by ``python -m examples.churn`` and
by its test.
"""

from __future__ import annotations

import http.client
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import duckdb
import psycopg

from examples.churn.model import CHURN
from examples.churn.world import World
from features.definitions import DAY_MS
from infra.simulation.clock import WallClock
from infra.simulation.gate import IN_FLIGHT_MAX
from infra.simulation.system import send_replay
from operations.batch_features import materialize_on_flink
from operations.batch_scoring.report import ScoringReport
from operations.batch_scoring.request import EntitiesAsOf, Request
from operations.batch_scoring.run import Watch, score_batch
from operations.batch_scoring.sinks.by_address import open_sink
from operations.batch_scoring.sinks.postgres import PostgresSink
from operations.flink_client import FlinkClient
from operations.training_run.request import Plan, Rows
from operations.training_run.rows import make_user_dataset
from operations.training_run.run import TrainingOutcome, train_model_of_users
from schemas.errors import WeirError
from schemas.settings import Settings
from training.datasets.materialization import Materialized

REFERENCE: Final = "examples.churn.model:CHURN"
"""What WEIR_MODELS names."""
TABLE: Final = "predictions"
AT_ONCE: Final = 500
"""Users of one request to the route for many."""
ANSWER_S_MAX: Final = 30.0

Say = Callable[[str], object]
Post = Callable[[str, Mapping[str, Any]], tuple[int, Any]]


class ChurnError(WeirError):
    """The example cannot go on, or its promise does not hold; the text says which."""


@dataclass(frozen=True, slots=True)
class Online:
    """What the API answered.

    Attributes:
        scores: of each user, to the last bit.
        decisions: of each user.
        latencies_ms: of the requests for one user, as the client measures them.
    """

    scores: Mapping[str, float]
    decisions: Mapping[str, str]
    latencies_ms: Sequence[float]

    @property
    def p95_ms(self) -> float:
        """95 % of the requests for one user took at most so long, ms."""
        return statistics.quantiles(self.latencies_ms, n=20)[-1]


def send_world(settings: Settings, world: World, clock: WallClock) -> int:
    """Send the events of a world and wait until all are answered; gives the transactions sent."""
    sent = send_replay(
        settings,
        world.events(),
        clock,
        in_flight_max=IN_FLIGHT_MAX,
        on_progress=lambda _: None,
    )
    return sent.transactions


def write_features(settings: Settings, client: FlinkClient, *, now_ms: int) -> Materialized:
    """Compute the batch features up to the last midnight on Flink, and write them to Redis."""
    return materialize_on_flink(settings, client, now_ms=now_ms)


def train_twice_checked(
    settings: Settings, rows: Rows, *, now_ms: int, say: Say, plan: Plan | None = None
) -> TrainingOutcome:
    """Build the data set twice, compare the bytes, and train on it.

    Raises:
        ChurnError: the two data sets differ.
        WeirError: as `train_model_of_users`.
    """
    first, again = (
        make_user_dataset(settings, CHURN, rows, now_ms=now_ms).parquet() for _ in range(2)
    )
    if first != again:
        raise ChurnError("the data set came out with other bytes when it was built again")
    say(f"data set: {len(first):,} bytes, the same when it is built again")
    return train_model_of_users(settings, CHURN, rows, now_ms=now_ms, plan=plan, say=say)


def score_all(
    settings: Settings, client: FlinkClient, sink: str, *, as_of_ms: int, now_ms: int, say: Say
) -> ScoringReport:
    """Score every active user as of a midnight into a table of predictions, on Flink.

    Args:
        settings: of the deployment.
        client: how to submit a job to Flink.
        sink: the address of the database; a table that PostgreSQL lacks is created.
        as_of_ms: the midnight, ms since 1970 UTC.
        now_ms: the clock, ms since 1970 UTC.
        say: takes a sentence about what happens.
    """
    opened = open_sink(sink, TABLE)
    if isinstance(opened, PostgresSink):
        opened.create()
    request = Request(
        rows=EntitiesAsOf(as_of_ms, CHURN.active_ms),
        sink=sink,
        table=TABLE,
        definition=CHURN,
        model_version=settings.champion_alias,
        entity_column="user_id",
    )
    watch = Watch(say=say, begin=lambda _: None, progress=lambda _: None)
    return score_batch(settings, client, request, now_ms=now_ms, watch=watch)


def read_predictions(sink: str, *, prediction_date: str) -> dict[str, tuple[float, str]]:
    """Read the score and the decision of each user from a table of predictions.

    Args:
        sink: the address of the database, as `score_all` takes it.
        prediction_date: ISO date.
    """
    query = (
        f"SELECT entity, score, decision FROM {TABLE} "  # noqa: S608 - a constant
        f"WHERE model_name = '{CHURN.name}' AND prediction_date = DATE '{prediction_date}'"
    )
    if isinstance(open_sink(sink, TABLE), PostgresSink):
        with psycopg.connect(sink) as connection:
            found = connection.execute(query).fetchall()
    else:
        with duckdb.connect(sink.removeprefix("duckdb:"), read_only=True) as database:
            found = database.execute(query).fetchall()
    return {entity: (score, decision) for entity, score, decision in found}


def post_to(host: str, port: int) -> Post:
    """Give what sends requests to the API of a deployment without API keys, on one connection."""
    connection = http.client.HTTPConnection(host, port, timeout=ANSWER_S_MAX)

    def post(path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        headers = {"Content-Type": "application/json"}
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, json.loads(response.read())

    return post


def ask_online(post: Post, user_ids: Sequence[str], *, singles: int) -> Online:
    """Ask the API for every user, in requests for many and for one.

    Args:
        post: sends a body to a path; gives the status and the body of the answer.
        user_ids: whom to score.
        singles: how many of them to ask for one by one, too.

    Raises:
        ChurnError: an answer is no score, or the two routes differ.
    """

    def answer_to(path: str, body: Mapping[str, Any]) -> Any:
        status, answer = post(f"/models/{CHURN.name}/{path}", body)
        if status != http.client.OK:
            raise ChurnError(f"POST {path} was answered by {status}: {answer['detail']}")
        return answer

    scores: dict[str, float] = {}
    decisions: dict[str, str] = {}
    for start in range(0, len(user_ids), AT_ONCE):
        some = user_ids[start : start + AT_ONCE]
        answers = answer_to("predict/batch", {"user_ids": list(some)})["answers"]
        for user_id, answer in zip(some, answers, strict=True):
            if "score" not in answer:
                raise ChurnError(f"user {user_id} has no score online: {answer['detail']}")
            scores[user_id], decisions[user_id] = answer["score"], answer["decision"]
    latencies_ms = []
    for user_id in user_ids[:singles]:
        began_s = time.perf_counter()
        answer = answer_to("predict", {"user_id": user_id})
        latencies_ms.append(1_000 * (time.perf_counter() - began_s))
        if answer["score"] != scores[user_id]:
            raise ChurnError(f"user {user_id} has two scores: {answer['score']}, {scores[user_id]}")
    return Online(scores, decisions, latencies_ms)


def check_equal(batch: Mapping[str, tuple[float, str]], online: Online) -> int:
    """Compare the predictions of the batch with the answers of the API, to the last bit.

    Returns:
        How many users were compared.

    Raises:
        ChurnError: names the first user with another score or decision.
    """
    for user_id, (score, decision) in batch.items():
        answered = (online.scores[user_id], online.decisions[user_id])
        if (score, decision) != answered:
            raise ChurnError(
                f"user {user_id}: the batch gave {score!r} {decision}, the API {answered}"
            )
    return len(batch)


def midnight_before(time_ms: int) -> int:
    """Give the last midnight UTC at or before a time, ms since 1970."""
    return time_ms // DAY_MS * DAY_MS
