"""`weir online`: fill a Redis again that has lost data."""

from redis import RedisError

from features.online.rewrite import RewriteProgress
from infra.cli.deployment import deployment_settings
from infra.cli.output import out, say
from operations.online_rebuild import states


def rebuild() -> None:
    """Write the states of all users and merchants to Redis again.

    The velocity job has the states and writes them, at a bounded rate; traffic may go on. A newer
    state in Redis is never replaced. Not rewritten are batch features, which `weir materialize`
    writes, and first decisions.
    """
    settings = deployment_settings()
    client = states.connect(settings)
    try:
        marker = states.ask_for_rewrite(client, settings)
        with out.status("waiting for the velocity job") as line:
            found = states.follow_rewrite(
                client,
                settings,
                marker,
                show=lambda found: line.update(f"the velocity job writes: {shown(found)}"),
            )
    except RedisError as error:
        raise states.unavailable(settings, error) from error
    finally:
        client.close()
    say(f"all states are in Redis: {shown(found)}")
    say("batch features are not part of this: `weir materialize` writes them")


def shown(found: dict[str, RewriteProgress]) -> str:
    """Give the keys of each writer as a part of a sentence."""
    parts = (
        f"{name} {each.keys:,}" + ("" if each.is_done else " so far")
        for name, each in sorted(found.items())
    )
    return ", ".join(parts) or "nothing yet"
