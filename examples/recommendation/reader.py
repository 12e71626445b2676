"""Reads what one ranking needs from Redis, in one round trip: candidates and all features.

The platform's guarded reads limit the waiting; `examples.recommendation.stored` knows the keys and
values of the candidates, `features.online` those of Feast. Called by the route.
"""

from __future__ import annotations

import math
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

import numpy as np

from examples.recommendation.features import (
    PRODUCT_FEATURES,
    PRODUCT_VIEW,
    SHOPPER_FEATURES,
    SHOPPER_VIEW,
    Matrix,
)
from examples.recommendation.stored import (
    CURRENT_KEY,
    READ_SCRIPT,
    StoredCandidates,
    bucket_key_parts,
    bucket_of,
    read_candidates,
    read_popular,
)
from features.online.feast_values import read_number, read_timestamp
from features.online.layout import (
    entity_key,
    field_name,
    integer_key_parts,
    timestamp_field,
)
from scoring.stores.guarded_reads import GuardedReads

PRODUCTS_KEPT: Final = 16_384
"""Decoded products that a process remembers by their bytes: decoding them costs more than reading
them."""

_SHOPPER_FIELDS: Final = [
    *(field_name(SHOPPER_VIEW, name) for name in SHOPPER_FEATURES),
    timestamp_field(SHOPPER_VIEW),
]
_PRODUCT_FIELDS: Final = [field_name(PRODUCT_VIEW, name) for name in PRODUCT_FEATURES]


class Found(NamedTuple):
    """What Redis holds for one ranking.

    Attributes:
        version: of the candidates in use; None if there are none.
        built_at_ms: when their night began, ms since 1970 UTC; 0 without a version.
        popular: ids of popular products, the first first; empty without a version.
        candidates: of the shopper; None if there are none.
        shopper: the features, shape (`SHOPPER_FEATURES`), NaN where there is no value.
        shopper_at_ms: when they were computed, ms since 1970 UTC; None if there are none.
        products: the features of each candidate, shape (candidates, `PRODUCT_FEATURES`).
    """

    version: str | None
    built_at_ms: int
    popular: list[int]
    candidates: StoredCandidates | None
    shopper: Matrix
    shopper_at_ms: int | None
    products: Matrix


class CandidateReader:
    """Reads by one call of a script, so everything is as of one moment."""

    def __init__(self, store: GuardedReads, *, project: str) -> None:
        """Read from the API's store.

        Args:
            store: limits the waiting.
            project: the Feast project whose keys are read.
        """
        self._store = store
        self._project = project

    async def read(self, user_id: str, *, timeout_ms: float | None = None) -> Found:
        """Read what a ranking for a user needs.

        Blocks: up to ``timeout_ms``, or ``redis_timeout_ms`` without it.

        Raises:
            OnlineStoreUnavailableError: no complete answer in time.
            StoredBytesError: the stored candidates are damaged.
        """
        arguments = eval_arguments(user_id, self._project)
        (reply,) = await self._store.read(
            lambda pipeline: pipeline.eval(*arguments),
            what=f"the candidates of user {user_id!r:.80}",
            timeout_ms=timeout_ms,
        )
        return decode_reply(reply)


def eval_arguments(user_id: str, project: str) -> list[Any]:
    """Give the arguments of the command EVAL that reads what a ranking for a user needs.

    With the script's text, which Redis compiles once: after a restart no second call is needed.
    """
    keys = [CURRENT_KEY, entity_key("user", user_id, project)]
    own = [*bucket_key_parts(bucket_of(user_id)), user_id]
    return [READ_SCRIPT, len(keys), *keys, *own, *_constant_arguments(project)]


@cache
def _constant_arguments(project: str) -> tuple[Any, ...]:
    counts = len(_SHOPPER_FIELDS), len(_PRODUCT_FIELDS)
    around_product = integer_key_parts("product_id", project)
    return (*around_product, *counts, *_SHOPPER_FIELDS, *_PRODUCT_FIELDS)


def decode_reply(reply: list[Any]) -> Found:
    """Decode the script's reply; a feature whose bytes are damaged has no value.

    Raises:
        StoredBytesError: the stored candidates are damaged.
    """
    current, shopper, candidates, products = reply
    version, built_at_ms, popular = current
    return Found(
        None if version is None else version.decode(),
        int(built_at_ms or 0),
        read_popular(popular or b""),
        None if candidates is None else read_candidates(candidates),
        np.array(_numbers(tuple(shopper[:-1]))),
        _time_ms(shopper[-1]),
        _product_rows(products),
    )


def _product_rows(fields: list[Any]) -> Matrix:
    width = len(_PRODUCT_FIELDS)
    rows = [_product(tuple(fields[at : at + width])) for at in range(0, len(fields), width)]
    return np.array(rows, dtype=np.float64).reshape(-1, width)


@lru_cache(maxsize=PRODUCTS_KEPT)
def _product(fields: tuple[bytes | None, ...]) -> tuple[float, ...]:
    return _numbers(fields)


def _numbers(fields: tuple[bytes | None, ...]) -> tuple[float, ...]:
    """Decode values of Feast; NaN for one that is missing, null or damaged."""
    return tuple(math.nan if field is None else _number(field) for field in fields)


def _number(field: bytes) -> float:
    try:
        value = read_number(field)
    except (ValueError, IndexError):
        return math.nan
    return math.nan if value is None else float(value)


def _time_ms(field: bytes | None) -> int | None:
    try:
        return None if field is None else read_timestamp(field)
    except (ValueError, IndexError):
        return None
