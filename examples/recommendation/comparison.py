"""Compares what Redis holds with the files of the night, value by value: this model's parity.

Called by the training: a version becomes the champion only if it would rank what it was fitted on.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import redis

from examples.recommendation.features import PRODUCT_FEATURES, SHOPPER_FEATURES, Matrix
from examples.recommendation.files import NightFiles, read_night
from examples.recommendation.reader import Found, decode_reply, eval_arguments
from schemas.settings import Settings


class Compared(NamedTuple):
    """What was compared.

    Attributes:
        shoppers: how many.
        values: of features, ids and scores.
        different: how many of them differ, or are missing in Redis.
        first: the first of them in words; empty if there is none.
    """

    shoppers: int
    values: int
    different: int
    first: str


def compare_online(settings: Settings, directory: Path, users: list[str]) -> Compared:
    """Read some shoppers as the API does, and compare everything with the files.

    Raises:
        redis.RedisError: Redis does not answer.
        TablesError: there was no night, or it knew one of the shoppers not.
        StoredBytesError: stored candidates are damaged.
    """
    night = read_night(directory, users)
    values = different = 0
    first = ""
    with redis.Redis.from_url(settings.redis_url) as client:
        pipeline = client.pipeline(transaction=False)
        for user_id in users:
            pipeline.eval(*eval_arguments(user_id, settings.feast_project))
        for row, reply in enumerate(pipeline.execute()):
            for name, wanted, found in _pairs(night, row, decode_reply(reply)):
                values += wanted.size
                wrong = _different(wanted, found)
                different += wrong
                if wrong and not first:
                    first = f"{wrong} {name} of shopper {users[row]!r:.80}"
    return Compared(len(users), values, different, first)


def _pairs(night: NightFiles, row: int, found: Found) -> list[tuple[str, Matrix, Matrix]]:
    at = night.candidate[row][night.candidate[row] >= 0]
    scores = night.score[row][: len(at)]
    candidates = found.candidates
    ids, found_scores = (np.zeros(0), np.zeros(0)) if candidates is None else candidates
    return [
        (f"of {len(SHOPPER_FEATURES)} features", night.shoppers[row], found.shopper),
        ("candidates", night.product_ids[at].astype(float), np.asarray(ids, dtype=float)),
        ("scores", scores, np.asarray(found_scores, dtype=float)),
        (f"of {len(PRODUCT_FEATURES)} features of candidates", night.products[at], found.products),
    ]


def _different(wanted: Matrix, found: Matrix) -> int:
    if wanted.shape != found.shape:
        return max(wanted.size, 1)
    return int((~((wanted == found) | (np.isnan(wanted) & np.isnan(found)))).sum())
