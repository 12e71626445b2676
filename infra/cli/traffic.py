"""`weir simulate` and `weir replay`: events into Kafka."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar

from clients.kafka import topic_partitions
from infra.cli.failures import UsageError
from infra.simulation.clock import WallClock
from infra.simulation.population import DAY_MS
from infra.simulation.pump import pump
from infra.simulation.replay import (
    IN_FLIGHT_MAX,
    Gate,
    Pace,
    Progress,
    replay,
)
from infra.simulation.tables import MAPPINGS, TransactionTable
from infra.simulation.world import World
from infra.simulation.writer import KafkaEventWriter, KafkaLogProgress, partition_by_key
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, FEATURES, LABELS, TRANSACTIONS

HOUR_MS: Final = 3_600_000
LABEL_DELAY_HOURS_MAX: Final = 168
HISTORY_PER_DAY: Final = 1_500
_REPLAY_LINGER_MS: Final = 5
_OUR_TOPICS: Final = (TRANSACTIONS, LABELS, FEATURES, DEAD_LETTERS)

out = Console(soft_wrap=True)


@contextmanager
def clock_until_interrupted() -> Iterator[WallClock]:
    """A clock that Ctrl-C and SIGTERM stop, so that what was sent is still flushed."""
    clock = WallClock()
    before = {
        number: signal.signal(number, lambda *_: clock.stop())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield clock
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def replayer(
    settings: Settings, clock: WallClock, *, in_flight_max: int
) -> tuple[KafkaEventWriter, Gate]:
    """What every replay into Kafka needs.

    Raises:
        KafkaUnreachableError: no answer, or a topic is missing.
        UsageError: the topics have different numbers of partitions.
    """
    bootstrap = settings.kafka_bootstrap
    partitions = topic_partitions(bootstrap, _OUR_TOPICS)
    counts = {topic: len(partitions[topic]) for topic in (TRANSACTIONS, FEATURES, DEAD_LETTERS)}
    if len(set(counts.values())) > 1:
        raise UsageError(f"partitions must be equally many to follow a replay, are {counts}")
    gate = Gate(
        log=KafkaLogProgress(bootstrap, partitions=partitions[FEATURES]),
        clock=clock,
        partition_of=partition_by_key(counts[TRANSACTIONS]),
        in_flight_max=in_flight_max,
    )
    return KafkaEventWriter(bootstrap, linger_ms=_REPLAY_LINGER_MS), gate


def simulate(
    *,
    rate: Annotated[float, typer.Option(min=0.001, help="Transactions a second.")] = 200.0,
    duration: Annotated[
        float | None, typer.Option(min=0.1, help="Seconds; without it until Ctrl-C.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Chooses people, places and fraud.")] = 1,
    history_days: Annotated[
        int | None,
        typer.Option(min=1, help="Instead of live traffic, send the days up to now as a replay."),
    ] = None,
    per_day: Annotated[
        int, typer.Option(min=1, help="Transactions a day of that history.")
    ] = HISTORY_PER_DAY,
    in_flight_max: Annotated[
        int, typer.Option(min=1, help="History: transactions sent and not answered.")
    ] = IN_FLIGHT_MAX,
) -> None:
    """Send simulated transactions and fraud reports.

    Live traffic is open loop: each transaction is sent when it is due, whether or not the
    system keeps up. A history is sent as fast as the system takes it, each record marked as a
    replay.
    """
    settings = Settings()
    with clock_until_interrupted() as clock:
        now_ms = clock.now_ms()
        world = World(seed=seed, currency=settings.currency, run=f"sim{seed}-{now_ms:x}")
        if history_days is None:
            _simulate_live(settings, world, clock, rate=rate, duration_s=duration)
            return
        live_through(
            settings, world, clock, days=history_days, per_day=per_day, in_flight_max=in_flight_max
        )


def live_through(
    settings: Settings,
    world: World,
    clock: WallClock,
    *,
    days: int,
    per_day: int,
    in_flight_max: int = IN_FLIGHT_MAX,
) -> None:
    """Replay a world's days up to now through the running system, and wait for the answers.

    Raises:
        KafkaUnreachableError, DeliveryError, StalledError: as `replay`.
    """
    now_ms = clock.now_ms()
    events = world.history(
        start_ms=now_ms - days * DAY_MS, end_ms=now_ms, transactions_per_day=per_day
    )
    writer, gate = replayer(settings, clock, in_flight_max=in_flight_max)
    with progress_bar(f"{days} days of history", total=days * per_day) as on_progress:
        done = replay(
            events,
            writer=writer,
            gate=gate,
            pace=Pace(clock=clock, speed=None),
            clock=clock,
            on_progress=on_progress,
        )
    say_done(done)


def _simulate_live(
    settings: Settings, world: World, clock: WallClock, *, rate: float, duration_s: float | None
) -> None:
    topic_partitions(settings.kafka_bootstrap, (TRANSACTIONS, LABELS))
    duration_ms = None if duration_s is None else int(duration_s * 1_000)
    sent = 0

    def count(_event: object) -> None:
        nonlocal sent
        sent += 1

    length = "until Ctrl-C" if duration_s is None else f"for {duration_s:g} s"
    out.print(f"sending {rate:g} transactions a second {length}")
    pump(
        world.live(start_ms=clock.now_ms() + 100, rate_per_s=rate, duration_ms=duration_ms),
        writer=KafkaEventWriter(settings.kafka_bootstrap, linger_ms=0),
        clock=clock,
        on_sent=count,
    )
    out.print(f"{sent} events sent and acknowledged")


def replay_table(
    file: Annotated[Path, typer.Argument(help="A Parquet file of transactions.")],
    *,
    columns: Annotated[
        str, typer.Option(help=f"How its columns are named: {' or '.join(MAPPINGS)}.")
    ] = "weir",
    speed: Annotated[
        float | None,
        typer.Option(min=0.001, help="Event time over wall time: 3600 is an hour a second."),
    ] = None,
    as_fast_as_possible: Annotated[
        bool, typer.Option("--as-fast-as-possible", help="As fast as the system takes it: default.")
    ] = False,
    from_: Annotated[
        str | None, typer.Option("--from", help="First day or moment, ISO 8601, UTC.")
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", help="First day or moment left out, ISO 8601, UTC.")
    ] = None,
    label_delay_hours: Annotated[
        float,
        typer.Option(min=0, max=LABEL_DELAY_HOURS_MAX, help="From a fraud to its report, hours."),
    ] = 24.0,
    in_flight_max: Annotated[
        int, typer.Option(min=1, help="Transactions sent and not answered.")
    ] = IN_FLIGHT_MAX,
) -> None:
    """Stream a table of transactions and its fraud reports, in event-time order.

    A fraud is reported --label-delay-hours after it happened. With --from, reports of frauds
    before it are not sent. Each record is marked as a replay. Waits until the feature log has
    answered all of them.
    """
    if speed is not None and as_fast_as_possible:
        raise UsageError("--speed and --as-fast-as-possible exclude each other; give one of them")
    if columns not in MAPPINGS:
        raise UsageError(f"--columns {columns} is unknown; there are {', '.join(MAPPINGS)}")
    settings = Settings()
    table = TransactionTable(
        file,
        mapping=MAPPINGS[columns],
        currency=settings.currency,
        label_delay_ms=int(label_delay_hours * HOUR_MS),
        from_ms=parsed_moment_ms("--from", from_),
        to_ms=parsed_moment_ms("--to", to),
    )
    if not len(table):
        raise UsageError(f"{file} has no transactions in that range")
    with clock_until_interrupted() as clock:
        writer, gate = replayer(settings, clock, in_flight_max=in_flight_max)
        with progress_bar(file.name, total=len(table)) as on_progress:
            done = replay(
                table.events(),
                writer=writer,
                gate=gate,
                pace=Pace(clock=clock, speed=speed),
                clock=clock,
                on_progress=on_progress,
            )
    say_done(done)
    if done.transactions < len(table):
        raise UsageError(f"stopped after {done.transactions} of {len(table)} transactions")


def parsed_moment_ms(option: str, text: str | None) -> int | None:
    """A day or a moment as ms since 1970 UTC; without a zone it is UTC.

    Raises:
        UsageError: not ISO 8601; names the option.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{option} {text!r} is not a date such as 2018-05-01: {error}") from error
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1_000)


@contextmanager
def progress_bar(title: str, *, total: int) -> Iterator[Callable[[Progress], None]]:
    """A bar of transactions on a terminal; yields what takes each `Progress`."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[where]}"),
        TimeRemainingColumn(),
    )
    began_s = time.monotonic()
    with Bar(*columns, console=out) as bar:
        task = bar.add_task(title, total=total, where="")

        def on_progress(progress: Progress) -> None:
            day = datetime.fromtimestamp(progress.event_time_ms / 1_000, UTC)
            rate_per_s = progress.transactions / (time.monotonic() - began_s)
            where = f"{day:%Y-%m-%d}  {rate_per_s:,.0f}/s  {progress.in_flight:,} in flight"
            bar.update(task, completed=progress.transactions, where=where)

        yield on_progress


def say_done(done: Progress) -> None:
    """The last line of a replay."""
    out.print(f"{done.transactions} transactions and {done.labels} labels sent and answered")


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("simulate")(simulate)
    app.command("replay")(replay_table)
