"""`weir simulate` and `weir replay`: events into Kafka."""

from pathlib import Path
from typing import Annotated, Final

import typer

from features.definitions import HOUR_MS
from infra.cli.failures import UsageError
from infra.cli.output import out
from infra.cli.replay_progress import progress_bar, say_done
from infra.cli.times import parse_moment_ms
from infra.simulation.columns import MAPPINGS
from infra.simulation.gate import IN_FLIGHT_MAX
from infra.simulation.interrupt import clock_until_interrupted
from infra.simulation.system import HISTORY_PER_DAY, send_history, send_live, send_replay
from infra.simulation.tables import TransactionTable
from infra.simulation.world import World
from schemas.settings import Settings

LABEL_DELAY_HOURS_MAX: Final = 168


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
            length = "until Ctrl-C" if duration is None else f"for {duration:g} s"
            out.print(f"sending {rate:g} transactions a second {length}")
            sent = send_live(settings, world, clock, rate_per_s=rate, duration_s=duration)
            out.print(f"{sent} events sent and acknowledged")
            return
        title, total = f"{history_days} days of history", history_days * per_day
        with progress_bar(title, total=total) as on_progress:
            done = send_history(
                settings,
                world,
                clock,
                days=history_days,
                per_day=per_day,
                in_flight_max=in_flight_max,
                on_progress=on_progress,
            )
    say_done(done)


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
        from_ms=parse_moment_ms("--from", from_),
        to_ms=parse_moment_ms("--to", to),
    )
    if not len(table):
        raise UsageError(f"{file} has no transactions in that range")
    with (
        clock_until_interrupted() as clock,
        progress_bar(file.name, total=len(table)) as on_progress,
    ):
        done = send_replay(
            settings,
            table.events(),
            clock,
            speed=speed,
            in_flight_max=in_flight_max,
            on_progress=on_progress,
        )
    say_done(done)
    if done.transactions < len(table):
        raise UsageError(f"stopped after {done.transactions} of {len(table)} transactions")
