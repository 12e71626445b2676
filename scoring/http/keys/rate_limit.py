"""A rate limit for each key: so many requests a second, with a burst.

A token bucket a key. Memory is bounded by the number of keys. Pure: the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

BURST_S = 2.0
"""How many seconds of its rate a key that was idle may use at once."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at_ms: float


class RateLimits:
    """The buckets of one process.

    Examples:
        >>> limits = RateLimits()
        >>> [limits.wait_s("k", rate_per_s=1, now_ms=0) for _ in range(3)]
        [0.0, 0.0, 1.0]
        >>> limits.wait_s("k", rate_per_s=1, now_ms=1_000)
        0.0
    """

    def __init__(self) -> None:
        """Start with full buckets."""
        self._buckets: dict[str, _Bucket] = {}

    def wait_s(self, key_id: str, *, rate_per_s: float, now_ms: float) -> float:
        """Take a token, or say how long to wait for one, s.

        Args:
            key_id: whose bucket.
            rate_per_s: of the key in this process; 0 for no limit.
            now_ms: by a clock that never goes back.
        """
        if not rate_per_s:
            return 0.0
        bucket = self._filled(key_id, rate_per_s, now_ms)
        if bucket.tokens < 1:
            return (1 - bucket.tokens) / rate_per_s
        bucket.tokens -= 1
        return 0.0

    def charge(self, key_id: str, tokens: float) -> None:
        """Take more tokens for a request that has been let in; the next ones may have to wait."""
        if (bucket := self._buckets.get(key_id)) is not None:
            bucket.tokens -= tokens

    def forget_all_but(self, key_ids: set[str]) -> None:
        """Forget the keys that are no longer valid."""
        for key_id in self._buckets.keys() - key_ids:
            del self._buckets[key_id]

    def _filled(self, key_id: str, rate_per_s: float, now_ms: float) -> _Bucket:
        # A rate below one request in the burst's time still lets one request in.
        burst = max(1.0, rate_per_s * BURST_S)
        bucket = self._buckets.get(key_id)
        if bucket is None:
            bucket = self._buckets[key_id] = _Bucket(burst, now_ms)
        gained = (now_ms - bucket.at_ms) / 1000 * rate_per_s
        bucket.tokens, bucket.at_ms = min(burst, bucket.tokens + gained), now_ms
        return bucket
