"""Traffic into a running system: live events, a world's history, a table of transactions.

Puts event sources, writer and pace together. Called by `weir simulate`, `weir replay`, the demo and
the bench, which bring what is shown meanwhile.
"""

from collections.abc import Callable, Iterable
from typing import Final

from clients.kafka import topic_partitions
from features.definitions import DAY_MS
from infra.simulation.clock import WallClock
from infra.simulation.event import Event
from infra.simulation.gate import IN_FLIGHT_MAX, Gate
from infra.simulation.log_progress import KafkaLogProgress
from infra.simulation.pump import pump
from infra.simulation.replay import Pace, Progress, replay
from infra.simulation.world import World
from infra.simulation.writer import KafkaEventWriter, partition_by_key
from schemas.errors import WeirError
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, FEATURES, LABELS, TRANSACTIONS

HISTORY_PER_DAY: Final = 1_500
_REPLAY_LINGER_MS: Final = 5
_LIVE_LEAD_MS: Final = 100
_OUR_TOPICS: Final = (TRANSACTIONS, LABELS, FEATURES, DEAD_LETTERS)


class UnequalPartitionsError(WeirError):
    """The topics have different numbers of partitions, so a replay cannot follow its answers."""


def send_live(
    settings: Settings,
    world: World,
    clock: WallClock,
    *,
    rate_per_s: float,
    duration_s: float | None,
) -> int:
    """Send a world's live traffic, each event when it is due, whether or not the system keeps up.

    Args:
        settings: where Kafka is.
        world: whose events.
        clock: stopping it ends the traffic.
        rate_per_s: transactions a second.
        duration_s: how long, in s; None: until the clock is stopped.

    Returns:
        How many events were sent and acknowledged.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
        DeliveryError: Kafka did not take an event.
    """
    topic_partitions(settings.kafka_bootstrap, (TRANSACTIONS, LABELS))
    sent = 0

    def count(_event: object) -> None:
        nonlocal sent
        sent += 1

    duration_ms = None if duration_s is None else int(duration_s * 1_000)
    start_ms = clock.now_ms() + _LIVE_LEAD_MS
    pump(
        world.live(start_ms=start_ms, rate_per_s=rate_per_s, duration_ms=duration_ms),
        writer=KafkaEventWriter(settings.kafka_bootstrap, linger_ms=0),
        clock=clock,
        on_sent=count,
    )
    return sent


def send_history(
    settings: Settings,
    world: World,
    clock: WallClock,
    *,
    days: int,
    per_day: int,
    in_flight_max: int = IN_FLIGHT_MAX,
    on_progress: Callable[[Progress], None] = lambda _: None,
) -> Progress:
    """Replay a world's days up to now as fast as the system takes them, and wait for their rows.

    Args:
        settings: where Kafka is.
        world: whose events.
        clock: stopping it ends the replay.
        days: of history.
        per_day: transactions a day.
        in_flight_max: transactions sent and not answered.
        on_progress: told how far it is.

    Raises:
        KafkaUnreachableError, DeliveryError, StalledError, UnequalPartitionsError: as
            `send_replay`.
    """
    now_ms = clock.now_ms()
    events = world.history(
        start_ms=now_ms - days * DAY_MS, end_ms=now_ms, transactions_per_day=per_day
    )
    return send_replay(
        settings, events, clock, in_flight_max=in_flight_max, on_progress=on_progress
    )


def send_replay(
    settings: Settings,
    events: Iterable[Event],
    clock: WallClock,
    *,
    speed: float | None = None,
    in_flight_max: int,
    on_progress: Callable[[Progress], None],
) -> Progress:
    """Replay events in event-time order, and wait until the feature log has answered all of them.

    Args:
        settings: where Kafka is.
        events: in event-time order.
        clock: stopping it ends the replay.
        speed: event time over wall time; None: as fast as the system takes them.
        in_flight_max: transactions sent and not answered.
        on_progress: told how far it is.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
        UnequalPartitionsError: the topics have different numbers of partitions.
        DeliveryError: Kafka did not take an event.
        StalledError: the feature log does not move.
        TopicGrewError: a topic got partitions meanwhile.
    """
    bootstrap = settings.kafka_bootstrap
    partitions = topic_partitions(bootstrap, _OUR_TOPICS)
    counts = {topic: len(partitions[topic]) for topic in (TRANSACTIONS, FEATURES, DEAD_LETTERS)}
    if len(set(counts.values())) > 1:
        raise UnequalPartitionsError(
            f"topics need equal numbers of partitions to follow a replay, but have {counts}"
        )
    gate = Gate(
        log=KafkaLogProgress(bootstrap, partitions=partitions[FEATURES]),
        clock=clock,
        partition_of=partition_by_key(counts[TRANSACTIONS]),
        in_flight_max=in_flight_max,
    )
    return replay(
        events,
        writer=KafkaEventWriter(bootstrap, linger_ms=_REPLAY_LINGER_MS),
        gate=gate,
        pace=Pace(clock=clock, speed=speed),
        clock=clock,
        on_progress=on_progress,
    )
