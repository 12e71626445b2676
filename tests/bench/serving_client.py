"""Asks services at a fixed rate, open loop: `python -m tests.bench.serving_client SPEC`.

Weir: one request scores a transaction. Feast and MLflow: a request for the features of user and
merchant, the vector made from them in the client, a request that scores it. The same transactions
in the same order. A request's clock starts when it is due; without a score it counts as long as the
client waited. Prints percentiles and what went wrong.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import sys
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import orjson
import uvloop

from features.definitions import MERCHANT_FEATURES, USER_FEATURES
from features.on_demand import on_demand_features
from features.online.layout import VIEWS
from models.encoding.row import encode_row
from models.encoding.vector import VectorSpec
from schemas.transaction import Transaction
from tests.bench.api_client import CONNECTIONS_MAX, Connection
from tests.bench.measure import percentiles_ms
from tests.bench.open_loop import ask_when_due

WAIT_S = 30
"""How long after the last request an answer may come; later ones are errors."""
FEATURES = [
    *(f"{VIEWS['user']}:{feature.name}" for feature in USER_FEATURES),
    *(f"{VIEWS['merchant']}:{feature.name}" for feature in MERCHANT_FEATURES),
]

Score = Callable[[Transaction], Awaitable[bool]]
"""Gives whether the answer is a complete score."""


class Service:
    """One address, with a pool of kept-alive connections."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._head = (
            f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        )
        self._idle: deque[Connection] = deque()
        self._opened = 0
        self._free = asyncio.Semaphore(CONNECTIONS_MAX)

    async def ask(self, body: Any) -> Any:
        """Send a request and give the answer's JSON; None if it is refused."""
        sent = orjson.dumps(body)
        async with self._free:
            connection = self._idle.popleft() if self._idle else await self._connect()
            answer = await connection.ask(
                f"{self._head}Content-Length: {len(sent)}\r\n\r\n".encode() + sent
            )
            self._idle.append(connection)
        head, _, content = answer.partition(b"\r\n\r\n")
        return orjson.loads(content) if head.split(b" ", 2)[1] == b"200" else None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        return connection


def weir(spec: dict[str, Any]) -> Score:
    """POST /predict."""
    service = Service(spec["api_port"], "/predict")

    async def score(transaction: Transaction) -> bool:
        answer = await service.ask(
            {
                "user_id": transaction.user_id,
                "merchant_id": transaction.merchant_id,
                "amount_minor": transaction.amount_minor,
                "currency": transaction.currency,
                "device_type": transaction.device_type,
                "ip_country": transaction.ip_country,
            }
        )
        return answer is not None and not answer["degraded"]

    return score


def feast_and_mlflow(spec: dict[str, Any]) -> Score:
    """Feast's feature server, then MLflow's scoring server."""
    features = Service(spec["feast_port"], "/get-online-features")
    model = Service(spec["model_port"], "/invocations")
    vector_spec = VectorSpec.from_json(json.dumps(spec["vector"]))

    async def score(transaction: Transaction) -> bool:
        found = await features.ask(
            {
                "features": FEATURES,
                "entities": {
                    "user_id": [transaction.user_id],
                    "merchant_id": [transaction.merchant_id],
                },
            }
        )
        if found is None:
            return False
        names = found["metadata"]["feature_names"]
        values = {
            name: result["values"][0] for name, result in zip(names, found["results"], strict=True)
        }
        values |= on_demand_features(transaction.event_time_ms)
        # What is computed once a day is asked of neither; it is missing for both.
        values |= dict.fromkeys(vector_spec.batch_columns)
        vector = encode_row(vector_spec, transaction, values)
        cells = [None if math.isnan(cell) else cell for cell in vector]
        frame = {"columns": list(range(len(cells))), "data": [cells]}
        answer = await model.ask({"dataframe_split": frame})
        return answer is not None and len(answer["predictions"]) == 1

    return score


SYSTEMS = {"weir": weir, "feast": feast_and_mlflow}


async def ask_all(spec: dict[str, Any]) -> dict[str, Any]:
    """Send every request when it is due and wait for the answers."""
    score = SYSTEMS[spec["system"]](spec)
    count = round(spec["rate_per_s"] * (spec["warm_s"] + spec["seconds"]))
    rng = random.Random(7)
    latencies_s = np.full(count, np.nan)
    answers: Counter[str] = Counter()

    async def ask(at: int, due_s: float) -> None:
        transaction = made_up(rng, at, spec)
        try:
            is_whole = await score(transaction)
        except (OSError, ValueError, KeyError) as error:
            answers[type(error).__name__] += 1
            return
        latencies_s[at] = time.perf_counter() - due_s
        answers["scored" if is_whole else "not whole"] += 1

    answers["no answer"] = await ask_when_due(
        ask, rate_per_s=spec["rate_per_s"], count=count, wait_s=WAIT_S
    )
    # A request without a score took at least as long as the client waited for it.
    waited_s = WAIT_S + (count - np.arange(count)) / spec["rate_per_s"]
    latencies_s = np.where(np.isnan(latencies_s), waited_s, latencies_s)
    measured = latencies_s[round(spec["rate_per_s"] * spec["warm_s"]) :]
    return {
        "latency_ms": percentiles_ms(measured),
        "answers": dict(answers),
        "errors": count - answers["scored"],
    }


def made_up(rng: random.Random, at: int, spec: dict[str, Any]) -> Transaction:
    """A transaction of a known user, as of now."""
    population = spec["population"]
    return Transaction(
        f"a-{at}",
        f"{population}u{rng.randrange(spec['users'])}",
        f"{population}m{rng.randrange(spec['merchants'])}",
        rng.randrange(100, 20_000),
        "EUR",
        time.time_ns() // 1_000_000,
        device_type="mobile",
        ip_country="DE",
    )


def main() -> None:
    """Ask what the argument says."""
    print(json.dumps(uvloop.run(ask_all(json.loads(sys.argv[1])))))


if __name__ == "__main__":
    main()
