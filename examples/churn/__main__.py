"""Churn from one command on a running stack: ``python -m examples.churn``.

Needs a task slot for batch jobs (``weir up --with batch``). The predictions go to the PostgreSQL of
the stack if it runs (``--with postgres``), else to a DuckDB file. An entry point.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Final

from examples.churn.model import CHURN
from examples.churn.steps import (
    REFERENCE,
    ask_online,
    check_equal,
    midnight_before,
    post_to,
    read_predictions,
    score_all,
    send_world,
    train_twice_checked,
    write_features,
)
from examples.churn.world import World
from infra.cli.failures import UsageError
from infra.cli.output import say
from infra.local.errors import StackError
from infra.local.flink_client import flink_client
from infra.local.optional_programs import POSTGRES
from infra.local.stack import Stack
from infra.simulation.clock import WallClock
from operations.training_run.request import Rows
from schemas.errors import WeirError
from schemas.settings import Settings, environment_of

API_S_MAX: Final = 60.0
SINGLES: Final = 300


def main(arguments: list[str]) -> int:
    """Run all steps; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m examples.churn", description=__doc__)
    parser.add_argument("--shoppers", type=int, default=2_000, help="of the world")
    parser.add_argument("--days", type=int, default=150, help="of history; at least 90")
    parser.add_argument("--to", help="address of the predictions, as of weir batch score")
    parser.add_argument("--skip-world", action="store_true", help="the world was sent before")
    chosen = parser.parse_args(arguments)
    stack = Stack(Settings())
    models = {*filter(None, stack.settings.models.split(",")), REFERENCE}
    settings = stack.settings.model_copy(update={"models": ",".join(sorted(models))})
    try:
        _run(stack, settings, chosen)
    except WeirError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(stack: Stack, settings: Settings, chosen: argparse.Namespace) -> None:
    clock = WallClock()
    now_ms = clock.now_ms()
    world = World(chosen.shoppers, chosen.days, midnight_before(now_ms), settings.currency)
    if not chosen.skip_world:
        sent = send_world(settings, world, clock)
        say(f"world: {sent:,} transactions of {chosen.shoppers:,} shoppers")
    client = flink_client(stack, log="churn")
    done = write_features(settings, client, now_ms=now_ms)
    say(f"features: {done.users:,} users of the snapshot {_day(done.snapshot_ms)} are in Redis")
    rows = Rows(days=chosen.days)
    trained = train_twice_checked(settings, rows, now_ms=now_ms, say=say)
    place = "champion" if trained.verdict.promotes else "not promoted"
    say(f"model: {CHURN.name} version {trained.version.version}, {place}: {trained.verdict.reason}")
    sink = chosen.to or _sink(stack)
    report = score_all(settings, client, sink, as_of_ms=world.end_ms, now_ms=now_ms, say=say)
    outcomes = ", ".join(f"{count:,} {word}" for word, count in report.outcomes.items())
    # Without the options of the address, which may hold a password.
    say(f"batch: {report.rows:,} users in {sink.rpartition('@')[2].partition('?')[0]}: {outcomes}")
    batch = read_predictions(sink, prediction_date=_day(world.end_ms))
    # Shoppers of this world alone: other users of the stack may have bought since midnight.
    ours = {u: found for u, found in batch.items() if u.startswith(f"churn-{world.seed}-")}
    with _api(settings) as port:
        online = ask_online(post_to(settings.api_host, port), list(ours), singles=SINGLES)
    compared = check_equal(ours, online)
    say(f"online: {compared:,} users have the score of the batch, to the last bit")
    say(f"online: 95 % of {len(online.latencies_ms)} requests took at most {online.p95_ms:.1f} ms")


def _sink(stack: Stack) -> str:
    """The stack's PostgreSQL if it runs, else a file."""
    try:
        stack.pid(POSTGRES)
    except StackError:
        pass
    else:
        return stack.settings.predictions_url
    file = stack.settings.data_dir / "churn" / "predictions.duckdb"
    file.parent.mkdir(parents=True, exist_ok=True)
    return f"duckdb:{file}"


@contextmanager
def _api(settings: Settings) -> Iterator[int]:
    """Run an API that serves the model, whatever the stack's own serves; gives its port."""
    with socket.socket() as probe:
        probe.bind((settings.api_host, 0))
        port = int(probe.getsockname()[1])
    # For the time of the example, on an address of this machine: no keys, no limit of the rate.
    own = {"api_port": port, "api_workers": 1, "api_keys_required": False}
    environment = os.environ | environment_of(settings.model_copy(update=own))
    process = subprocess.Popen([sys.executable, "-m", "scoring.http"], env=environment)
    try:
        _wait_until_ready(f"http://{settings.api_host}:{port}/models", process)
        yield port
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    end_s = time.monotonic() + API_S_MAX
    while time.monotonic() < end_s and process.poll() is None:
        try:
            with urllib.request.urlopen(url) as reply:  # noqa: S310  # of this machine
                reply.read()
                return
        except urllib.error.URLError:
            time.sleep(0.2)
    raise UsageError(f"the API did not answer at {url}; its log is above")


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).date().isoformat()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
