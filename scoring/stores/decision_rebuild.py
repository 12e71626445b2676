"""Writes first decisions to Redis again, from the topic `decisions`, for the rest of their time.

What Redis has stands. Harmless beside a running scorer, and when it is repeated. The newest
decisions come first, because most repeats are of these. Those that were made while Redis was away
or lacked decisions come last, so that of two decisions of a transaction the earlier one stands.
Called by the scorer when it sees that Redis has lost data (`scoring.stores.lost_decisions`), and by
`weir online rebuild`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import groupby, islice
from typing import Any, Final, NamedTuple

import redis

from clients.errors import ResponseTooLargeError
from clients.kafka_log import TopicLog, offsets_at
from clients.mlflow_rest import MlflowRest
from models.artifact.files import SIGNATURE_PATH
from models.artifact.signature import Signature
from models.encoding.vector import VectorSpec
from models.errors import SignatureMismatchError
from models.policy import Policy
from schemas.decision import Decision, ModelRef
from schemas.errors import InvalidEventError
from schemas.output_codec import decode_decision
from scoring.core.decide import DEGRADED_DECISION_STORE_UNAVAILABLE
from scoring.core.first_decision import (
    DEGRADED_FIRST_CONTEXT_LOST,
    DEGRADED_FIRST_ROW_UNAVAILABLE,
    FirstDecision,
)
from scoring.core.kept_again import KeptAgain
from scoring.stores.kept_decisions import (
    CONTEXTS_KEY,
    DAY_S,
    KEEP_FIRST_SCRIPT,
    id_digest,
    keep_arguments,
)

CALL_KEYS_MAX: Final = 100
"""Transactions of one call: Redis serves no other client meanwhile, less than 1 ms."""
WINDOWS_S: Final = (600, 3_600, 86_400)
"""How far back the first windows reach, s; the last one has the rest."""
PUT_OFF_MAX: Final = 100_000
"""Decisions that wait for the end, some 30 MB; further ones do not wait."""
_MADE_FROM_LESS: Final = {DEGRADED_FIRST_ROW_UNAVAILABLE, DEGRADED_FIRST_CONTEXT_LOST}
"""Words of repeats that say less than the first decision, which is in the log as well."""


class Rebuilt(NamedTuple):
    """What was done."""

    read: int
    """Decisions in the log that have not expired."""
    written: int
    """Of these, those that Redis did not have."""


class _Kept(NamedTuple):
    day: int
    digest: bytes
    first: FirstDecision
    context: bytes
    may_be_second: bool
    """Whether the transaction may have an earlier decision that Redis did not know."""


class VectorSpecs:
    """Finds in the registry by which specification the vectors of a decision were made."""

    def __init__(self, registry: MlflowRest, *, model_name: str) -> None:
        """Start with nothing known.

        Args:
            registry: where versions are.
            model_name: the registered model.
        """
        self._registry = registry
        self._model_name = model_name
        self._known: dict[ModelRef, VectorSpec | None] = {}

    def of(self, decision: Decision) -> VectorSpec | None:
        """Give the specification that a decision names; None if it names none, or it is gone.

        Raises:
            ModelRegistryUnreachableError: no answer.
        """
        if decision.vector_spec is None or decision.model.name != self._model_name:
            return None
        if decision.model not in self._known:
            self._known[decision.model] = self._read(decision.model)
        spec = self._known[decision.model]
        return spec if spec is not None and spec.digest == decision.vector_spec else None

    def _read(self, model: ModelRef) -> VectorSpec | None:
        version = self._registry.get_version(model=model.name, version=model.version)
        if version is None:
            return None
        try:
            content = self._registry.artifact(run_id=version.run_id, path=SIGNATURE_PATH)
            if content is None:
                return None
            return Signature.read(content, of=f"model version {version.version}").vector_spec()
        except (ResponseTooLargeError, SignatureMismatchError):
            return None


class DecisionRebuild:
    """Writes first decisions again."""

    def __init__(
        self, *, bootstrap: str, topic: str, specs: VectorSpecs, policy: Policy, ttl_s: int
    ) -> None:
        """Store the parts.

        Args:
            bootstrap: Kafka's address.
            topic: of the decisions.
            specs: finds the specifications of vectors.
            policy: the thresholds of the deployment.
            ttl_s: how long a first decision is kept at least, s.
        """
        self._bootstrap = bootstrap
        self._topic = topic
        self._again = KeptAgain(spec_of=specs.of, present_policy=policy)
        self._ttl_s = ttl_s

    def run(
        self,
        client: redis.Redis,
        *,
        now_ms: int,
        since_ms: int = 0,
        busy_share: float,
        go_on: Callable[[Rebuilt], bool] = lambda _: True,
    ) -> Rebuilt:
        """Write the first decisions that Redis does not have.

        Blocks: as long as it takes to read the topic, with the pauses.

        Args:
            client: of Redis, with a time limit.
            now_ms: the present time, ms since 1970 UTC.
            since_ms: what was produced before this time is not read, ms since 1970 UTC.
            busy_share: share of a core that this takes at most, above 0 and at most 1; it pauses
                for the rest.
            go_on: takes what has been done so far, after each call; it ends if this is False.

        Raises:
            KafkaUnreachableError: no answer, or the topic is missing.
            ModelRegistryUnreachableError: no answer.
            redis.RedisError: no answer; what was written stays.
        """
        script: Any = client.register_script(KEEP_FIRST_SCRIPT)
        since_ms = max(since_ms, now_ms - self._ttl_s * 1_000)
        kept = self._kept(now_ms=now_ms, since_ms=since_ms)
        done = Rebuilt(0, 0)
        while True:
            started_s = time.thread_time()
            chunk = list(islice(kept, CALL_KEYS_MAX))
            if not chunk:
                return done
            written = 0
            for day, of_day in groupby(sorted(chunk, key=_day), key=_day):
                written += self._keep(client, script, day, list(of_day), now_ms // 1_000)
            done = Rebuilt(done.read + len(chunk), done.written + written)
            if not go_on(done):
                return done
            time.sleep((time.thread_time() - started_s) * (1 / busy_share - 1))

    def _keep(
        self, client: redis.Redis, script: Any, day: int, kept: list[_Kept], now_s: int
    ) -> int:
        firsts: dict[bytes, bytes] = {}
        for each in kept:
            firsts.setdefault(each.digest, each.first.pack())
        contexts = {each.first.context: each.context for each in kept}
        keys, arguments = keep_arguments(
            list(firsts.items()), contexts, now_s=now_s, ttl_s=self._ttl_s, day=day
        )
        missing, stand = script(keys=keys, args=arguments)
        if missing:
            lost: Any = {digest: contexts[digest] for digest in missing}
            client.hset(CONTEXTS_KEY, mapping=lost)
            missing, stand = script(keys=keys, args=arguments)
        if missing:
            raise redis.RedisError("it loses the contexts of decisions at once")
        return sum(value is None for value in stand)

    def _kept(self, *, now_ms: int, since_ms: int) -> Iterator[_Kept]:
        """Give what is to be kept of each decision, the newest window first."""
        put_off: list[_Kept] = []
        for kept in self._by_window(now_ms=now_ms, since_ms=since_ms):
            if kept.may_be_second and len(put_off) < PUT_OFF_MAX:
                put_off.append(kept)
            else:
                yield kept
        yield from sorted(put_off, key=lambda kept: kept.first.decided_at_ms)

    def _by_window(self, *, now_ms: int, since_ms: int) -> Iterator[_Kept]:
        starts_ms = [
            *(now_ms - s * 1_000 for s in WINDOWS_S if now_ms - s * 1_000 > since_ms),
            since_ms,
        ]
        with TopicLog(self._bootstrap, self._topic) as log:
            ends = {partition: end for partition, (_, end) in log.ranges.items()}
            for start_ms in starts_ms:
                starts = offsets_at(self._bootstrap, self._topic, time_ms=max(0, start_ms))
                for partition, end in ends.items():
                    first = max(log.ranges[partition].first, starts[partition])
                    for record in log.read(partition, first=first, end=end, values_only=True):
                        kept = self._of(record.value, now_ms)
                        if kept is not None:
                            yield kept
                ends = {part: min(end, starts[part]) for part, end in ends.items()}

    def _of(self, value: bytes | None, now_ms: int) -> _Kept | None:
        """Give what is to be kept of a decision; None if it has expired, or is none."""
        try:
            decision = decode_decision(value)
        except InvalidEventError:
            return None
        has_expired = decision.decided_at_ms + self._ttl_s * 1_000 <= now_ms
        if has_expired or not _MADE_FROM_LESS.isdisjoint(decision.degraded):
            return None
        first, content = self._again.of(decision)
        return _Kept(
            decision.decided_at_ms // 1_000 // DAY_S,
            id_digest(decision.transaction_id.encode()),
            first,
            content,
            DEGRADED_DECISION_STORE_UNAVAILABLE in decision.degraded,
        )


def _day(kept: _Kept) -> int:
    return kept.day
