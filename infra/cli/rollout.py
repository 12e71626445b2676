"""`weir rollout`: starts, shows and changes rollouts. `infra.cli.rollout_promote` promotes."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from infra.cli.deployment import deployment_settings
from infra.cli.failures import UsageError
from infra.cli.output import out, say
from infra.cli.rollout_options import By, RolloutId, Why, author_of, rollout_commands
from infra.cli.rollout_reading import show_reading
from infra.cli.times import parse_duration_ms, shown_moment
from operations.rollouts.rollback import roll_back
from schemas.rollout import ACTIVE_STATUSES, SHARES_BP, RolloutChange
from scoring.core.rollout_live import notes_of
from scoring.core.rollout_report import RolloutReport, described, report
from scoring.core.rollout_request import read_start
from scoring.stores.rollout_state import RolloutStateLog
from scoring.wiring import wall_clock_ms

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object for each rollout.")]


def start(
    rollout_id: RolloutId,
    *,
    strategy: Annotated[
        str, typer.Option(help="canary, ab, shadow, blue_green or bandit; see docs/rollouts.md.")
    ],
    challenger: Annotated[
        list[str],
        typer.Option(help="Version to let in. A bandit takes several, each as NAME=VERSION."),
    ],
    share: Annotated[
        float | None, typer.Option(help="A/B: the challenger's share of the users, in percent.")
    ] = None,
    stages: Annotated[
        str | None, typer.Option(help="Canary: shares in percent, such as 5,15,30,50,75,100.")
    ] = None,
    stage_time: Annotated[
        str | None, typer.Option(help="Canary: minimum time at a stage, such as 90s, 30m or 1d.")
    ] = None,
    stage_decisions: Annotated[
        int | None, typer.Option(min=0, help="Canary: minimum decisions at a stage.")
    ] = None,
    label_maturity: Annotated[
        str | None, typer.Option(help="Age at which a label counts as known, such as 30d.")
    ] = None,
    let_through: Annotated[
        float | None,
        typer.Option(help="Percent of the would-be blocks to approve, so that they get labels."),
    ] = None,
    let_through_max: Annotated[
        int | None, typer.Option(min=0, help="Largest amount of such a transaction, minor units.")
    ] = None,
    parameters: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with more of plan, limits, loss and let_through; options go before it.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    by: By = None,
    why: Why = "started by hand",
) -> None:
    """Start a rollout of a version beside the champion; scorer and API follow within 2 s.

    Refuses, and changes nothing, if a version is unknown, has other feature definitions or fails
    the scorer's checks, or while another rollout is active.
    """
    asked = _from_file(parameters)
    asked |= {"rollout_id": rollout_id, "strategy": strategy, **_challengers(challenger)}
    if share is not None:
        asked["challenger_share_bp"] = _bp("--share", share)
    _set(
        *(asked, "plan"),
        stages_bp=stages and [_bp("--stages", one) for one in stages.split(",")],
        stage_ms_min=stage_time and parse_duration_ms(stage_time),
        stage_decisions_min=stage_decisions,
        label_maturity_ms=label_maturity and parse_duration_ms(label_maturity),
    )
    percent = None if let_through is None else _bp("--let-through", let_through)
    _set(asked, "let_through", share_bp=percent, amount_minor_max=let_through_max)
    with out.status("checking the versions"):
        change = rollout_commands().start(read_start(asked), **author_of(by, why))
    _tell(change)


def status(
    rollout_id: Annotated[
        str | None, typer.Argument(help="The rollout; the newest one if it is not given.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Show where a rollout stands, why, what happens next, every change, and what was counted."""
    commands = rollout_commands()
    if rollout_id is None:
        newest = list(commands.read())
        if not newest:
            say("there is no rollout; `weir rollout start` starts one")
            return
        rollout_id = newest[-1].rollout.rollout_id
    found = report(commands.changes(rollout_id))
    reading = RolloutStateLog(deployment_settings().kafka_bootstrap).reading(rollout_id)
    notes = (
        []
        if reading is None
        else notes_of(reading, is_active=found.status in ACTIVE_STATUSES, now_ms=wall_clock_ms())
    )
    if as_json:
        counted = reading and {**dataclasses.asdict(reading), "notes": notes}
        typer.echo(json.dumps({**dataclasses.asdict(found), "counted": counted}))
        return
    _show(found)
    if reading is None:
        say("the controller has not counted anything yet; `weir status` shows whether it runs")
    else:
        show_reading(reading, notes)


def list_rollouts(*, as_json: AsJson = False) -> None:
    """List all rollouts, oldest first."""
    newest = list(rollout_commands().read())
    if as_json:
        for change in newest:
            typer.echo(json.dumps(dataclasses.asdict(report([change]))))
        return
    if not newest:
        say("there is no rollout; `weir rollout start` starts one")
        return
    table = Table("rollout", "model", "strategy", "stands at", "since (UTC)", "why", box=None)
    for change in newest:
        rollout = change.rollout
        table.add_row(
            *(rollout.rollout_id, rollout.model_name, rollout.strategy, described(rollout)),
            *(shown_moment(change.changed_at_ms)[:16], change.reason),
        )
    out.print(table, soft_wrap=False, markup=False, highlight=False)


def pause(rollout_id: RolloutId, *, by: By = None, why: Why = "paused by hand") -> None:
    """Let a rollout rest: the shares stay, and the controller takes no step."""
    _tell(rollout_commands().pause(rollout_id, **author_of(by, why)))


def resume(rollout_id: RolloutId, *, by: By = None, why: Why = "resumed by hand") -> None:
    """Let a paused rollout go on."""
    _tell(rollout_commands().resume(rollout_id, **author_of(by, why)))


def switch(
    rollout_id: RolloutId,
    *,
    to: Annotated[
        str | None, typer.Option(help="blue or green; the one without traffic by default.")
    ] = None,
    by: By = None,
    why: Why = "switched by hand",
) -> None:
    """Move all traffic of a blue/green rollout to the other version, or back."""
    _tell(rollout_commands().switch(rollout_id, to=to, **author_of(by, why)))


def abort(rollout_id: RolloutId, *, by: By = None, why: Why = "aborted by hand") -> None:
    """End a rollout without a verdict: the champion decides alone within 2 s."""
    _tell(rollout_commands().abort(rollout_id, **author_of(by, why)))


def rollback(rollout_id: RolloutId, *, by: By = None, why: Why = "rolled back by hand") -> None:
    """Take the challenger back, also after it has become the champion. Asks nothing else.

    While the rollout is active, all traffic goes to the champion within 2 s. After a completed one,
    the champion before it decides again within seconds; it has passed the parity gate before.
    """
    done = roll_back(deployment_settings(), rollout_commands(), rollout_id, **author_of(by, why))
    if done.champion is None:
        _tell(done.changes[-1])
        return
    for skipped in done.champion.skipped:
        say(f"skipped: {skipped}")
    say(
        f"version {done.champion.now.version} is the champion again, "
        f"version {done.champion.left} is rolled back"
    )


def _set(asked: dict[str, Any], part: str, **given: object) -> None:
    named = {name: value for name, value in given.items() if value is not None}
    asked[part] = {**asked.get(part, {}), **named}


def _challengers(named: list[str]) -> dict[str, Any]:
    if len(named) == 1 and "=" not in named[0]:
        return {"challenger": named[0]}
    pairs = [one.partition("=") for one in named]
    if not all(name and version for name, _, version in pairs):
        raise UsageError("several versions need a name each, such as --challenger new=7")
    return {"challengers": {name: version for name, _, version in pairs}}


def _bp(option: str, percent: float | str) -> int:
    try:
        share_bp = float(percent) * SHARES_BP / 100
    except ValueError as error:
        raise UsageError(f"{option} {percent!r:.40} is not a number of percent") from error
    if share_bp != round(share_bp) or not 0 <= share_bp <= SHARES_BP:
        raise UsageError(f"{option} {percent} must be 0 to 100, at most two decimals")
    return round(share_bp)


def _from_file(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise UsageError(f'{path} must hold objects such as {{"plan": {{"alpha": 0.01}}}}')
    return found


def _tell(change: RolloutChange) -> None:
    found = report([change])
    say(f"{found.rollout_id}, revision {found.revision}: {described(change.rollout)}")
    say(f"why: {found.why}")
    say(f"next: {found.next}")


def _show(found: RolloutReport) -> None:
    say(f"{found.rollout_id}: {found.strategy} of {found.model_name}, {found.status}")
    for arm in found.arms:
        say(f"  {arm.name:<12} version {arm.version:<6} {arm.share:7.2%} of the traffic")
    say(f"since {shown_moment(found.since_ms)[:19]} UTC, revision {found.revision}")
    say(f"why: {found.why}")
    say(f"next: {found.next}")
    say("changes:")
    for change in found.changes:
        say(
            f"  {change.revision:>3}  {shown_moment(change.at_ms)[:19]}  {change.to}  "
            f"({change.by}: {change.reason})"
        )
