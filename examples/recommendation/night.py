"""The nightly job: profiles into Feast's online store, candidates into Redis, then the swap.

Everything that it writes to Redis is also in files, which training reads and with which Redis is
compared before a version is promoted. Called by the command of the example, and by the benchmark.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import redis

from examples.recommendation import popular_file
from examples.recommendation.candidates import (
    CANDIDATES,
    Candidates,
    Method,
    find_candidates,
    popular_products,
)
from examples.recommendation.online_features import write_online_features
from examples.recommendation.profiles import product_profiles, shopper_profiles
from examples.recommendation.publish import Night, Written
from examples.recommendation.tables import Catalogue, Interactions, read_tables
from schemas.settings import Settings

CANDIDATES_FILE = "candidates.parquet"
"""``user_id``, and the lists ``product_id`` and ``score``."""

_SCHEMA = pa.schema(
    [
        ("user_id", pa.string()),
        ("product_id", pa.list_(pa.int64())),
        ("score", pa.list_(pa.float32())),
    ]
)


class NightReport(NamedTuple):
    """What a night did.

    Attributes:
        written: the candidates.
        before: the version that was used before; None if there was none.
        seconds: by step.
    """

    written: Written
    before: str | None
    seconds: dict[str, float]


def run_night(
    settings: Settings, directory: Path, *, now_ms: int, method: Method = "als"
) -> NightReport:
    """Compute and publish everything; the version in use stays until the last step.

    Delivery: repeated or killed at any time, shoppers keep their candidates: those of the night
    before until the new ones are complete.
    Blocks: about a minute for 100,000 shoppers on two cores.

    Args:
        settings: Redis, Feast's project and the data directory.
        directory: with the tables; the files of the night are written there, too.
        now_ms: the clock, ms since 1970 UTC.
        method: of finding candidates.

    Raises:
        TablesError: the tables are missing or wrong; nothing was written.
        NightTakenOverError: another night has begun meanwhile; its candidates will be used.
    """
    steps = _Steps()
    with steps.step("read"):
        bought, catalogue = read_tables(directory)
    moment = datetime.fromtimestamp(now_ms // 1_000, UTC)
    version = f"{moment:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    client = redis.Redis.from_url(settings.redis_url)
    night = Night(client, version, now_ms)
    try:
        with steps.step("begin"):
            night.begin()
        with steps.step("features"):
            write_online_features(
                settings,
                directory,
                users=bought.users,
                shoppers=shopper_profiles(bought, catalogue),
                product_ids=catalogue.products,
                products=product_profiles(bought, catalogue),
                now_ms=now_ms,
            )
        with steps.step("candidates"):
            parts = list(find_candidates(bought, products=len(catalogue.products), method=method))
        with steps.step("file"):
            _write_file(directory / CANDIDATES_FILE, parts, bought, catalogue)
        with steps.step("write"):
            written = night.write(bought.users, catalogue.products, parts)
        with steps.step("swap"):
            popular = popular_products(bought, products=len(catalogue.products), count=CANDIDATES)
            before = night.finish(catalogue.products[popular], popular_file.path(settings.data_dir))
    finally:
        client.close()
    return NightReport(written, before, steps.seconds)


def _write_file(
    file: Path, parts: list[Candidates], bought: Interactions, catalogue: Catalogue
) -> None:
    unfinished = file.with_suffix(".unfinished")
    with pq.ParquetWriter(unfinished, _SCHEMA, compression="lz4") as writer:
        for part in parts:
            is_found = part.product >= 0
            offsets = pa.array([0, *is_found.sum(axis=1).cumsum().tolist()], pa.int32())
            ids = pa.array(catalogue.products[part.product[is_found]])
            columns = [
                pa.array([bought.users[number] for number in part.user.tolist()]),
                pa.ListArray.from_arrays(offsets, ids),
                pa.ListArray.from_arrays(offsets, pa.array(part.score[is_found])),
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=_SCHEMA))
    unfinished.replace(file)


class _Steps:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began_s = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began_s, 2)
