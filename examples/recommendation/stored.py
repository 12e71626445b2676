"""How the candidates lie in Redis: keys, values, and the one read that a ranking needs.

Bytes only, no client. A version is all candidates of one night, in `BUCKETS` hashes with a field
for each shopper; the hash `CURRENT_KEY` names the version in use and holds the popular products.
Written by `examples.recommendation.publish`, read by `examples.recommendation.reader`. Why so:
docs/adr/0042.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.errors import WeirError

CURRENT_KEY: Final = "weir:recommendation:current"
"""A hash: `CURRENT_FIELDS` of the version in use."""
WRITING_KEY: Final = "weir:recommendation:writing"
"""The version that a night is writing. Another night that starts takes it over."""
CURRENT_FIELDS: Final = ("version", "built_at_ms", "popular")
BUCKETS: Final = 1_024
"""Hashes of a version. Shoppers share them, so that a version is kept, expires and is deleted in a
thousand steps, not in one for each shopper."""

_CANDIDATE: Final = np.dtype([("product_id", "<u4"), ("score", "<f4")])
PRODUCT_ID: Final = np.dtype("<u4")

READ_SCRIPT: Final = """
local current = redis.call('HMGET', KEYS[1], 'version', 'built_at_ms', 'popular')
local users, products = tonumber(ARGV[6]), tonumber(ARGV[7])
local shopper = redis.call('HMGET', KEYS[2], unpack(ARGV, 8, 7 + users))
local candidates, features = false, {}
if current[1] then
  candidates = redis.call('HGET', ARGV[1] .. current[1] .. ARGV[2], ARGV[3])
end
if candidates then
  local call, sub, count = redis.call, string.sub, 0
  for at = 1, #candidates, 8 do
    local key = ARGV[4] .. sub(candidates, at, at + 3) .. '\\0\\0\\0\\0' .. ARGV[5]
    local found = call('HMGET', key, unpack(ARGV, 8 + users, 7 + users + products))
    for field = 1, products do
      count = count + 1
      features[count] = found[field]
    end
  end
end
return {current, shopper, candidates, features}
"""
"""Lua: read the version in use, the shopper's features, the shopper's candidates, and the features
of all of them, in one call at one moment. A product's key is Feast's for an integer: its id in 8
bytes between two constant parts."""

SWAP_SCRIPT: Final = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then
  return false
end
local before = redis.call('HGET', KEYS[1], 'version')
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'built_at_ms', ARGV[2], 'popular', ARGV[3])
redis.call('DEL', KEYS[2])
return before or ''
"""
"""Lua: use the version that was written, unless another night has begun meanwhile; gives the
version that was used before, null if the swap was refused."""


class StoredBytesError(WeirError, ValueError):
    """Stored candidates are not as `candidates_value` writes them."""


class StoredCandidates(NamedTuple):
    """A shopper's candidates, the best first, as arrays of equal length."""

    product_id: NDArray[np.uint32]
    score: NDArray[np.float32]


def bucket_of(user_id: str) -> int:
    """Give the bucket of a shopper.

    Examples:
        >>> bucket_of("shopper-000042")
        79
    """
    return zlib.crc32(user_id.encode()) % BUCKETS


def bucket_key(version: str, bucket: int) -> str:
    """Give the key of one hash of a version.

    Examples:
        >>> bucket_key("v1", 7)
        'weir:recommendation:candidates:v1:7'
    """
    before, after = bucket_key_parts(bucket)
    return f"{before}{version}{after}"


def bucket_key_parts(bucket: int) -> tuple[str, str]:
    """Give what stands before and after the version in the key of a bucket."""
    return "weir:recommendation:candidates:", f":{bucket}"


def candidates_value(product_ids: NDArray[Any], scores: NDArray[Any]) -> bytes:
    """Give the value of a shopper's candidates: 8 bytes for each, the best first.

    Examples:
        >>> candidates_value(np.array([258]), np.array([1.0])).hex()
        '020100000000803f'
    """
    value = np.empty(len(product_ids), dtype=_CANDIDATE)
    value["product_id"], value["score"] = product_ids, scores
    return value.tobytes()


def read_candidates(value: bytes) -> StoredCandidates:
    """Read a value of `candidates_value`.

    Raises:
        StoredBytesError: its length is no multiple of 8, or a score is no number.
    """
    if len(value) % _CANDIDATE.itemsize:
        raise StoredBytesError(
            f"stored candidates have {len(value)} bytes, must be a multiple of "
            f"{_CANDIDATE.itemsize}; run the nightly job again"
        )
    found = np.frombuffer(value, dtype=_CANDIDATE)
    if not np.isfinite(found["score"]).all():
        raise StoredBytesError(
            "a score of stored candidates is no number; run the nightly job again"
        )
    return StoredCandidates(found["product_id"], found["score"])


def popular_value(product_ids: NDArray[Any] | Sequence[int]) -> bytes:
    """Give the value of the popular products, 4 bytes for each, the first first."""
    return np.asarray(product_ids, dtype=PRODUCT_ID).tobytes()


def read_popular(value: bytes) -> list[int]:
    """Read a value of `popular_value`; what is left over of another length is not read.

    Examples:
        >>> read_popular(popular_value([7, 3]))
        [7, 3]
    """
    whole = len(value) // PRODUCT_ID.itemsize * PRODUCT_ID.itemsize
    ids: list[int] = np.frombuffer(value[:whole], dtype=PRODUCT_ID).tolist()
    return ids
