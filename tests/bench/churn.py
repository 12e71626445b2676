"""Churn online: one user in a request, at 100 requests/s, open loop, while the stack runs.

A stack of its own with all its programs, and the world of `examples.churn` in it; the model is
trained and promoted there. `--keys` says how many shoppers there are, `--rate` the requests/s.
"""

from __future__ import annotations

import http.client
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from examples.churn.model import CHURN
from examples.churn.steps import (
    REFERENCE,
    midnight_before,
    post_to,
    read_predictions,
    score_all,
    send_world,
    write_features,
)
from examples.churn.world import World
from infra.local.flink_client import flink_client
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from operations.training_run.request import Rows
from operations.training_run.run import train_model_of_users
from tests.bench.bench_stack import say
from tests.bench.client import run_client
from tests.bench.scenarios import Choices, row
from tests.bench.usage import between, look
from tests.services import local_services

SHOPPERS, DAYS = 2_000, 150
RATE_PER_S = 100.0
FOLLOWED_S_MAX = 60.0
ASKED = ("api", "redis")


def churn(choices: Choices) -> dict[str, Any]:
    """Make the model, then ask for users that the batch has scored, at each rate."""
    shoppers = choices.keys[0] if choices.keys else SHOPPERS
    with (
        local_services(keep_logs=lambda: False, models=REFERENCE) as services,
        tempfile.TemporaryDirectory() as directory,
    ):
        stack = services.stack
        assert stack is not None
        stack.up(optional=["batch"])
        users = _scored_users(stack, shoppers, Path(directory))
        _wait_for_champion(stack, users[0])
        file = Path(directory) / "users.txt"
        file.write_text("\n".join(users))
        rows = [
            row(
                {"rate_per_s": rate},
                [_asked(stack, choices, file, rate) for _ in range(choices.runs)],
            )
            for rate in choices.or_rates(RATE_PER_S)
        ]
    return {"users": len(users), "rows": rows}


def _scored_users(stack: Stack, shoppers: int, directory: Path) -> list[str]:
    """Send the world, train, and score every active user; gives their ids."""
    settings, clock = stack.settings, WallClock()
    now_ms = clock.now_ms()
    world = World(shoppers, DAYS, midnight_before(now_ms), settings.currency)
    sent = send_world(settings, world, clock)
    say(f"{sent:,} transactions of {shoppers:,} shoppers")
    client = flink_client(stack, log="churn")
    write_features(settings, client, now_ms=now_ms)
    trained = train_model_of_users(settings, CHURN, Rows(days=DAYS), now_ms=now_ms)
    if not trained.verdict.promotes:
        raise SystemExit(f"no champion: {trained.verdict.reason}")
    sink = f"duckdb:{directory / 'predictions.duckdb'}"
    score_all(settings, client, sink, as_of_ms=world.end_ms, now_ms=now_ms, say=say)
    date = datetime.fromtimestamp(world.end_ms / 1_000, UTC).date().isoformat()
    return sorted(read_predictions(sink, prediction_date=date))


def _wait_for_champion(stack: Stack, user_id: str) -> None:
    post = post_to(stack.settings.api_host, stack.settings.api_port)
    path = f"/models/{CHURN.name}/predict"
    until_s = time.monotonic() + FOLLOWED_S_MAX
    while (answer := post(path, {"user_id": user_id}))[0] != http.client.OK:
        if time.monotonic() > until_s:
            raise SystemExit(f"the API does not score: {answer}")
        time.sleep(0.2)


def _asked(stack: Stack, choices: Choices, users: Path, rate_per_s: float) -> dict[str, Any]:
    spec = {
        "port": stack.settings.api_port,
        "users": str(users),
        "rate_per_s": rate_per_s,
        "seconds": choices.seconds,
        "warm_s": choices.warm_s,
    }
    pids = {name: stack.pid(name) for name in ASKED}
    before = look(pids)
    found = run_client("tests.bench.churn_client", spec)
    used = between(before, look(pids))
    say(f"{rate_per_s:g} requests/s: {found['latency_ms']}, {found['errors']} errors")
    return {**found, **used.to_json(found["requests"])}
