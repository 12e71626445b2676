"""What Redis says about the online states: whether it may evict them, and rewrites under way.

Called by `weir doctor` and `weir status`.
"""

from dataclasses import dataclass

import redis

from features.online.rewrite import RewriteProgress
from operations.online_rebuild.states import connect, read_progress
from schemas.settings import Settings

EVICTS_STATES = "allkeys-"
"""What the policies begin with by which Redis evicts any key. States have no time to live, so the
other policies never evict them."""


@dataclass(frozen=True, slots=True)
class OnlineState:
    """Redis at one moment.

    Attributes:
        memory_max: its limit of memory, bytes; 0 for none.
        policy: its eviction policy.
        evicted: keys that it has evicted since it started.
        rewrites: the newest rewrite by name of its writer, as `read_progress` gives it.
    """

    memory_max: int
    policy: str
    evicted: int
    rewrites: dict[str, RewriteProgress]

    @property
    def may_evict_states(self) -> bool:
        """Whether states of users and merchants disappear when the memory is full."""
        return self.memory_max > 0 and self.policy.startswith(EVICTS_STATES)

    def under_way(self) -> list[str]:
        """Give a sentence about each rewrite under way."""
        return [
            f"writing all states of {name} to Redis, {each.keys:,} keys so far: {each.reason}"
            for name, each in self.rewrites.items()
            if not each.is_done
        ]

    def __str__(self) -> str:
        """Give the state as one sentence."""
        limit = f"at most {self.memory_max:,} bytes" if self.memory_max else "no limit of memory"
        about = f"{limit}, policy {self.policy}, {self.evicted:,} keys evicted"
        return "; ".join((about, *self.under_way()))


def read_online_state(settings: Settings) -> OnlineState:
    """Ask Redis.

    Raises:
        OSError: no answer.
    """
    client = connect(settings)
    try:
        memory, stats = client.info("memory"), client.info("stats")
        return OnlineState(
            memory_max=memory.get("maxmemory", 0),
            policy=memory.get("maxmemory_policy", "unknown"),
            evicted=stats.get("evicted_keys", 0),
            rewrites=read_progress(client, settings),
        )
    except redis.RedisError as error:
        raise OSError(f"Redis does not answer at {settings.redis_url}: {error!s:.200}") from error
    finally:
        client.close()
