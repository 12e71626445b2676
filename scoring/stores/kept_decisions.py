"""Where Redis holds first decisions, and the script that keeps them.

Owns the keys ``weir:decisions:{day}``: a hash of the first decisions of one day, UTC, by a digest
of the transaction's id, which expires as a whole; and ``weir:decisions:contexts``. Pure; the store
of the worker, the reader of the API and the command that reports fraud use it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

CONTEXTS_KEY: Final = b"weir:decisions:contexts"
"""The hash of the contexts, by digest. There are few, so they are kept."""

DAY_S: Final = 86_400

ID_DIGEST_BYTES: Final = 14
"""Length of the digest of a transaction's id, bytes. Two of 10^9 ids have the same with a
probability of 10^-16. Together with the header and the end of its string it takes 16 bytes, the
size of a block of Redis' allocator; two more bytes would take 8 more."""

# A call of Redis for all ids of a day instead of one for each id: 0.3 us an id instead of 2.
# ARGV: when that day's key expires, the number of ids, of contexts; then ids, values, digests.
# KEYS: contexts, the day to write to, and the other days.
# Gives the digests that are missing, or what stands.
KEEP_FIRST_SCRIPT: Final = """
local count, contexts = tonumber(ARGV[2]), tonumber(ARGV[3])
local missing = {}
if contexts > 0 then
  local digests = {unpack(ARGV, 4 + 2 * count, 3 + 2 * count + contexts)}
  local known = redis.call('HMGET', KEYS[1], unpack(digests))
  for i = 1, contexts do
    if not known[i] then missing[#missing + 1] = digests[i] end
  end
end
if #missing > 0 then return {missing, {}} end
local stand = {}
for i = 1, count do stand[i] = false end
for k = 2, #KEYS do
  local found = redis.call('HMGET', KEYS[k], unpack(ARGV, 4, 3 + count))
  for i = 1, count do
    if found[i] then stand[i] = found[i] end
  end
end
local new = {}
for i = 1, count do
  if not stand[i] then
    new[#new + 1] = ARGV[3 + i]
    new[#new + 1] = ARGV[3 + count + i]
  end
end
if #new > 0 then
  redis.call('HSET', KEYS[2], unpack(new))
  if redis.call('TTL', KEYS[2]) < 0 then redis.call('EXPIREAT', KEYS[2], ARGV[1]) end
end
return {missing, stand}
"""


def id_digest(transaction_id: bytes) -> bytes:
    """Give the field of a transaction's first decision."""
    return hashlib.blake2b(transaction_id, digest_size=ID_DIGEST_BYTES).digest()


def day_keys(now_s: int, *, ttl_s: int) -> list[bytes]:
    """Give the keys that may hold a first decision: today's, then all others.

    Tomorrow's is among them, because the clock of another process may be ahead.

    Examples:
        >>> day_keys(86_400, ttl_s=600)
        [b'weir:decisions:1970-01-02', b'weir:decisions:1970-01-03', b'weir:decisions:1970-01-01']
    """
    today = now_s // DAY_S
    first = max(0, now_s - ttl_s) // DAY_S
    days = (today, today + 1, *range(today - 1, min(first, today - 1) - 1, -1))
    return [_key(day) for day in days if day >= 0]


def keep_arguments(
    proposals: Sequence[tuple[bytes, bytes]],
    contexts: Mapping[bytes, bytes],
    *,
    now_s: int,
    ttl_s: int,
    day: int | None = None,
) -> tuple[list[bytes], list[bytes | int]]:
    """Give the keys and the arguments of the script.

    Args:
        proposals: digest of the transaction's id, and what to keep; each digest once.
        contexts: contexts by digest.
        now_s: the present time, s since 1970 UTC.
        ttl_s: how long a first decision is kept at least, s.
        day: when the decisions were made, days since 1970 UTC; None for today.
    """
    day = now_s // DAY_S if day is None else day
    own = _key(day)
    days = [own, *(key for key in day_keys(now_s, ttl_s=ttl_s) if key != own)]
    expires_s = (day + 1) * DAY_S + ttl_s
    return [CONTEXTS_KEY, *days], [
        expires_s,
        len(proposals),
        len(contexts),
        *(digest for digest, _ in proposals),
        *(value for _, value in proposals),
        *contexts,
    ]


@lru_cache(maxsize=256)
def _key(day: int) -> bytes:
    return b"weir:decisions:%b" % f"{datetime.fromtimestamp(day * DAY_S, UTC):%Y-%m-%d}".encode()
