"""The command `weir`: every command by name, where it is, and what the list of commands says.

A command's module is imported when the command runs. `infra.cli` parses, calls and prints; the
work is done in `operations`, `infra.local`, `infra.simulation` and `infra.demo`.
"""

from typing import Final

import typer

from infra.cli.failures import ReportingGroup
from infra.cli.lazy_command import add_command

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "up": (
        "infra.cli.stack:up",
        "Start the local stack, or what is missing of it, and wait until it answers.",
    ),
    "down": (
        "infra.cli.stack:down",
        "Stop every process of the local stack; its data stays.",
    ),
    "status": (
        "infra.cli.stack:status",
        "Show what runs, how far it is behind and the active rollout; exit 1 unless all works.",
    ),
    "doctor": (
        "infra.cli.stack:doctor",
        "Check what is installed, running and reachable, and say what to do about the rest.",
    ),
    "logs": ("infra.cli.stack:logs", "Show the newest lines of the logs."),
    "demo": (
        "infra.cli.demo:demo",
        "Start everything, train a first model, and watch live transactions being scored.",
    ),
    "simulate": (
        "infra.cli.traffic:simulate",
        "Send simulated transactions and fraud reports.",
    ),
    "replay": (
        "infra.cli.traffic:replay_table",
        "Stream a table of transactions and its fraud reports, in event-time order.",
    ),
    "export features": (
        "infra.cli.tables:export_features",
        "Write the feature log as a table: transaction_id, one column a feature, place in the log.",
    ),
    "compare": (
        "infra.cli.tables:compare",
        "Compare exported features with a published table, value by value; exit 1 on a difference.",
    ),
    "parity": (
        "infra.cli.parity:parity",
        "Recompute every feature from the logged transactions and compare; exit 1 on a difference.",
    ),
    "decisions": (
        "infra.cli.decisions:decisions",
        "Show decisions: the newest, and with --follow those to come.",
    ),
    "predict": (
        "infra.cli.decisions:predict",
        "Score a transaction without sending it. Nothing is stored.",
    ),
    "api-key create": (
        "infra.cli.api_key:create",
        "Make an API key and print it, once; only its SHA-256 is kept.",
    ),
    "api-key list": (
        "infra.cli.api_key:list_keys",
        "List the API keys that are valid, without their secrets.",
    ),
    "api-key revoke": (
        "infra.cli.api_key:revoke",
        "Make an API key invalid; the API refuses it within a second.",
    ),
    "label": (
        "infra.cli.label:label",
        "Report that a transaction was fraud, or was not; looks up its merchant and its time.",
    ),
    "archive status": (
        "infra.cli.archive:status",
        "Show how many rows and files the archive has, and how far it is behind the logs.",
    ),
    "archive compact": (
        "infra.cli.archive:compact",
        "Merge the small files of each day, and delete the files that they replaced.",
    ),
    "archive rebuild": (
        "infra.cli.archive:rebuild",
        "Make the archive again from the logs; it stays as it is until the new one is complete.",
    ),
    "archive verify": (
        "infra.cli.archive:verify",
        "Compare the archive with the logs, row by row; exit 1 on a difference.",
    ),
    "backfill": (
        "infra.cli.backfill:backfill",
        "Compute rows and states by changed definitions, from the archive.",
    ),
    "batch score": (
        "infra.cli.batch:score",
        "Score many rows at once into a database, on Flink.",
    ),
    "batch create-table": (
        "infra.cli.batch:create_table",
        "Create the table of predictions in PostgreSQL, unless it exists.",
    ),
    "dataset build": (
        "infra.cli.dataset:build",
        "Make the data set of some days, as of when their labels were mature; log it to MLflow.",
    ),
    "materialize": (
        "infra.cli.features:materialize",
        "Compute the batch features up to the last midnight and put them into Redis.",
    ),
    "online rebuild": (
        "infra.cli.online:rebuild",
        "Write the states of users and merchants, and the first decisions, to Redis again.",
    ),
    "train": (
        "infra.cli.training:train",
        "Make a data set and fit a model on it; champion only if it is better and parity is 0.",
    ),
    "models list": (
        "infra.cli.models:list_models",
        "List the versions of the model, newest first.",
    ),
    "models promote": (
        "infra.cli.promote:promote",
        "Make a version the champion; exit 1, and change nothing, while parity is not 0.",
    ),
    "models rollback": (
        "infra.cli.models:rollback",
        "Make the version champion again that was champion before the present one.",
    ),
    "models download": (
        "infra.cli.model_download:download",
        "Write the files of a version into a directory, and check that they score as in training.",
    ),
    "models history": (
        "infra.cli.models:history",
        "Show which version was champion when, newest first.",
    ),
    "evaluate-policy": (
        "infra.cli.evaluate_policy:evaluate",
        "Estimate the loss of a version or of thresholds that never decided, from the archive.",
    ),
    "rollout start": (
        "infra.cli.rollout:start",
        "Start a rollout of a version beside the champion; scorer and API follow within 2 s.",
    ),
    "rollout status": (
        "infra.cli.rollout:status",
        "Show where a rollout stands, why, what happens next, every change, and what was counted.",
    ),
    "rollout list": ("infra.cli.rollout:list_rollouts", "List all rollouts, oldest first."),
    "rollout pause": (
        "infra.cli.rollout:pause",
        "Let a rollout rest: the shares stay, and the controller takes no step.",
    ),
    "rollout resume": ("infra.cli.rollout:resume", "Let a paused rollout go on."),
    "rollout switch": (
        "infra.cli.rollout:switch",
        "Move all traffic of a blue/green rollout to the other version, or back.",
    ),
    "rollout promote": (
        "infra.cli.rollout_promote:promote",
        "Make a rollout's challenger the champion and end the rollout; exit 1 if parity is not 0.",
    ),
    "rollout abort": (
        "infra.cli.rollout:abort",
        "End a rollout without a verdict: the champion decides alone within 2 s.",
    ),
    "rollout rollback": (
        "infra.cli.rollout:rollback",
        "Take the challenger back, also after it has become the champion. Asks nothing else.",
    ),
}
"""Place and summary by name; a name of two words is a command of a group."""

GROUPS: Final = {
    "export": "Write the content of the logs to a file.",
    "api-key": "The keys of the HTTP API.",
    "archive": "The archive of the logs.",
    "batch": "Predictions for many rows at once.",
    "dataset": "Data sets from the archive.",
    "online": "The states in Redis.",
    "models": "The registered models.",
    "rollout": "Let a new model version in step by step, compare it, take it back.",
}


def _put_together() -> typer.Typer:
    app = typer.Typer(
        name="weir",
        cls=ReportingGroup,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        help="Score every transaction of a stream as it passes.",
    )
    groups = {name: typer.Typer(help=text, no_args_is_help=True) for name, text in GROUPS.items()}
    for name, group in groups.items():
        app.add_typer(group, name=name)
    for name, (place, summary) in COMMANDS.items():
        first, _, second = name.partition(" ")
        owner = groups[first] if second else app
        add_command(owner, second or first, place=place, summary=summary)
    return app


app = _put_together()

if __name__ == "__main__":
    app()
