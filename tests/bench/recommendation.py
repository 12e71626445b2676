"""The recommendation: a night of 100,000 shoppers, rankings at 300 requests/s, Redis emptied.

A stack of its own with Redis, MLflow and the API, and Kafka, which the API follows. `--keys` says
how many shoppers there are. The world is made once and kept in `.cache`.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from examples.recommendation.__main__ import Api
from examples.recommendation.evaluation import evaluate
from examples.recommendation.night import run_night
from examples.recommendation.tables import read_tables
from examples.recommendation.training import train_ranker
from examples.recommendation.world import Size
from examples.recommendation.world_tables import write_world
from infra.local.layout import REPO
from infra.local.stack import Stack
from schemas.settings import Settings
from tests.bench import results
from tests.bench.bench_stack import say
from tests.bench.client import run_client
from tests.bench.usage import between, look
from tests.services import local_services

Row = dict[str, Any]

CACHE = REPO / ".cache" / "bench"
PROGRAMS = ("kafka", "redis", "mlflow", "api")
MODELS = "examples.recommendation.model:RECOMMENDATION"
SHOPPERS, PRODUCTS = 100_000, 10_000
RATE_PER_S = 300.0
SEED = 1
FOLLOWED_S_MAX = 60
EMPTIED_AT = 0.4
"""Redis is emptied when this share of the measured requests has been sent."""


@dataclass(frozen=True)
class Bench:
    """A stack that serves the recommendation, and the tables of a shop."""

    stack: Stack
    settings: Settings
    directory: Path
    users: Path
    """A file with the ids of the shoppers, one a line, for the client."""

    def night(self) -> Row:
        """Compute and publish a night; gives its seconds by step."""
        before = look({"redis": self.stack.pid("redis")})
        report = run_night(self.settings, self.directory, now_ms=time.time_ns() // 1_000_000)
        used = between(before, look({"redis": self.stack.pid("redis")}))
        with redis.Redis.from_url(self.settings.redis_url) as client:
            memory = client.info("memory")
        found = {
            "shoppers": report.written.shoppers,
            "candidates": report.written.candidates,
            "steps_s": {**report.seconds, "all": round(sum(report.seconds.values()), 2)},
            "value_bytes": report.written.value_bytes,
            "redis_mib": round(memory["used_memory"] / 2**20),
            "redis_peak_mib": round(memory["used_memory_peak"] / 2**20),
            **used.to_json(report.written.shoppers),
        }
        say(f"a night: {found['steps_s']}")
        return found

    def train(self) -> None:
        """Make a champion, and wait until the API uses it."""
        trained = train_ranker(self.settings, self.directory, seed=SEED)
        say(f"version {trained.version}: {trained.verdict.reason}")
        if not trained.is_champion:
            raise SystemExit(f"version {trained.version} is not the champion")
        api = Api(self.settings)
        user_id = self.users.read_text().split("\n", 1)[0]
        until_s = time.monotonic() + FOLLOWED_S_MAX
        while (api.rank(user_id, None)["model"] or {}).get("version") != trained.version:
            if time.monotonic() > until_s:
                raise SystemExit(f"the API does not use version {trained.version}")
            time.sleep(0.2)

    def ranked(self, choices: Any, rate_per_s: float) -> Row:
        """Ask at a rate, open loop."""
        return self._asked(choices, rate_per_s)

    def emptied(self, choices: Any, rate_per_s: float) -> Row:
        """Ask at a rate, and empty Redis meanwhile."""
        after_s = choices.warm_s + EMPTIED_AT * choices.seconds
        with redis.Redis.from_url(self.settings.redis_url) as client:
            timer = threading.Timer(after_s, client.flushall)
            timer.start()
            try:
                found = self._asked(choices, rate_per_s)
            finally:
                timer.cancel()
                timer.join()
        return found

    def _asked(self, choices: Any, rate_per_s: float) -> Row:
        spec = {
            "port": self.settings.api_port,
            "users": str(self.users),
            "rate_per_s": rate_per_s,
            "seconds": choices.seconds,
            "warm_s": choices.warm_s,
        }
        pids = {name: self.stack.pid(name) for name in ("api", "redis")}
        before = look(pids)
        answered = run_client("tests.bench.recommendation_client", spec)
        used = between(before, look(pids))
        requests = round(rate_per_s * (choices.seconds + choices.warm_s))
        found = {**answered, **used.to_json(requests)}
        say(f"{rate_per_s:g} requests/s: {found['latency_ms']}, {found['answers']}")
        return found


def recommendation(choices: Any) -> dict[str, Any]:
    """Measure nights, rankings, and an emptied Redis."""
    shoppers = choices.keys[0] if choices.keys else SHOPPERS
    rate_per_s = choices.or_rates(RATE_PER_S)[0]
    with _bench(shoppers) as bench:
        nights = [bench.night() for _ in range(choices.runs)]
        bench.train()
        recall = evaluate(bench.directory, Api(bench.settings).rank)
        say("; ".join(recall.lines()))
        ranked = [bench.ranked(choices, rate_per_s) for _ in range(choices.runs)]
        emptied = []
        for _ in range(choices.runs):
            emptied.append(bench.emptied(choices, rate_per_s))
            bench.night()
    return {
        "rows": [
            {"part": name, "median": results.median(runs), "runs": runs}
            for name, runs in (("night", nights), ("ranking", ranked), ("emptied", emptied))
        ],
        "rate_per_s": rate_per_s,
        "recall": recall._asdict(),
    }


@contextmanager
def _bench(shoppers: int) -> Iterator[Bench]:
    directory = _tables(shoppers)
    users = directory / "users.txt"
    if not users.exists():
        users.write_text("\n".join(read_tables(directory)[0].users))
    with local_services(keep_logs=lambda: False, models=MODELS) as services:
        stack = services.stack
        assert stack is not None
        stack.up(programs=PROGRAMS)
        yield Bench(stack, stack.settings, directory, users)


def _tables(shoppers: int) -> Path:
    """Make the world, unless it is there; a killed attempt leaves another name."""
    products = PRODUCTS if shoppers >= SHOPPERS else max(400, PRODUCTS * shoppers // SHOPPERS)
    place = CACHE / f"shop-{shoppers}"
    if not place.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=CACHE, prefix="unfinished-"))
        say(f"making a world of {shoppers:,} shoppers, once")
        now_ms = time.time_ns() // 1_000_000
        write_world(Size(shoppers, products), unfinished, seed=SEED, end_ms=now_ms)
        unfinished.rename(place)
        for left in CACHE.glob("unfinished-*"):
            shutil.rmtree(left, ignore_errors=True)
    return place
