"""`weir online`: fill a Redis again that has lost data."""

from enum import StrEnum
from typing import Annotated

import typer
from redis import RedisError

from features.online.rewrite import RewriteProgress
from infra.cli.deployment import deployment_settings
from infra.cli.output import out, say
from infra.simulation.clock import WallClock
from operations.online_rebuild import states
from scoring import wiring
from scoring.stores.decision_rebuild import Rebuilt

BUSY_SHARE = 0.5
"""Share of a core that writing first decisions takes; the rest is for the traffic."""


class Part(StrEnum):
    """What Redis holds and this command can write again."""

    STATES = "states"
    DECISIONS = "decisions"


def rebuild(
    *,
    only: Annotated[Part | None, typer.Option(help="Write this only; both by default.")] = None,
) -> None:
    """Write the states of users and merchants, and the first decisions, to Redis again.

    The velocity job has the states and writes them, at a bounded rate. First decisions come from
    the topic `decisions`, as far back as WEIR_DECISION_TTL_S, the newest first; what Redis has
    stands. Traffic may go on. `weir materialize` writes the batch features.
    """
    settings = deployment_settings()
    client = states.connect(settings)
    try:
        marker = None if only is Part.DECISIONS else states.ask_for_rewrite(client, settings)
        if only is not Part.STATES:
            with out.status("reading `decisions`") as line:

                def show(done: Rebuilt) -> bool:
                    line.update(f"reading `decisions`: {done.read:,}")
                    return True

                done = wiring.build_decision_rebuild(settings).run(
                    client, now_ms=WallClock().now_ms(), busy_share=BUSY_SHARE, go_on=show
                )
            say(
                f"first decisions: {done.written:,} written, of {done.read:,} in the log that have "
                "not expired"
            )
        if marker is not None:
            with out.status("waiting for the velocity job") as line:
                found = states.follow_rewrite(
                    client,
                    settings,
                    marker,
                    show=lambda found: line.update(f"the velocity job writes: {shown(found)}"),
                )
            say(f"all states are in Redis: {shown(found)}")
    except RedisError as error:
        raise states.unavailable(settings, error) from error
    finally:
        client.close()
    say("batch features are not part of this: `weir materialize` writes them")


def shown(found: dict[str, RewriteProgress]) -> str:
    """Give the keys of each writer as a part of a sentence."""
    parts = (
        f"{name} {each.keys:,}" + ("" if each.is_done else " so far")
        for name, each in sorted(found.items())
    )
    return ", ".join(parts) or "nothing yet"
