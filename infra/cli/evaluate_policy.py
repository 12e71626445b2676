"""`weir evaluate-policy`: what a version or thresholds would have lost that never decided."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from infra.cli.deployment import deployment_settings
from infra.cli.failures import EXIT_DIFFERENT, UsageError
from infra.cli.output import out, say
from infra.cli.times import parse_duration_ms, parse_moment_ms
from models.policy import Policy
from operations.rollouts.evaluation.archived import PolicyRange, evaluate_policy
from operations.rollouts.evaluation.evaluate import Evaluation, NoOverlap
from operations.rollouts.losses import OUTCOMES
from operations.rollouts.statistics.off_policy import Estimate
from schemas.rollout import LossWeights
from schemas.rollout_codec import read_record
from scoring.wiring import wall_clock_ms


def evaluate(
    *,
    version: Annotated[
        str | None, typer.Option(help="Version of the model; the champion by default.")
    ] = None,
    review: Annotated[
        float | None, typer.Option(help="A score above this is REVIEW; the setting by default.")
    ] = None,
    block: Annotated[
        float | None, typer.Option(help="A score above this is BLOCK; the setting by default.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--from", help="Decisions from this day or moment on, UTC.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="Decisions before this day or moment, UTC.")
    ] = None,
    label_maturity: Annotated[
        str, typer.Option(help="Age at which a label counts as known.")
    ] = "30d",
    loss: Annotated[
        Path | None,
        typer.Option(
            help='JSON file with what differs, such as {"false_block": 0.5}.',
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Estimate the loss of a version or of thresholds that never decided, from the archive.

    Exit 1 if the log cannot tell, because the policy approves what was always blocked.
    """
    settings = deployment_settings()
    try:
        policy = Policy(
            review_threshold=settings.review_threshold if review is None else review,
            block_threshold=settings.block_threshold if block is None else block,
        )
    except ValueError as error:
        raise UsageError(str(error)) from error
    within = PolicyRange(
        parse_moment_ms("--from", since),
        parse_moment_ms("--to", until),
        parse_duration_ms(label_maturity),
        wall_clock_ms(),
    )
    with out.status("scoring the archived rows"):
        chosen, found = evaluate_policy(
            settings, version=version, policy=policy, within=within, weights=_weights(loss)
        )
    if as_json:
        typer.echo(json.dumps({"version": chosen, **asdict(found)}))
    elif isinstance(found, Evaluation):
        _show(chosen, policy, found)
    else:
        say(f"not estimated: {found.reason}")
    if isinstance(found, NoOverlap):
        raise typer.Exit(EXIT_DIFFERENT)


def _weights(path: Path | None) -> LossWeights:
    if path is None:
        return LossWeights()
    try:
        obj = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error
    if not isinstance(obj, dict):
        raise UsageError(f"{path} must hold an object")
    return read_record(LossWeights, obj)


def _show(version: str, policy: Policy, found: Evaluation) -> None:
    mix = ", ".join(
        f"{name} {share:.2%}" for name, share in zip(OUTCOMES, found.outcomes, strict=True)
    )
    say(
        f"version {version}, review above {policy.review_threshold:g}, block above "
        f"{policy.block_threshold:g}: {mix}; {found.changed:.2%} of the decisions would change"
    )
    say(f"what was decided lost {found.logged_loss:.5f} for a decision; the policy would have lost")
    _say_estimate("doubly robust", found.doubly_robust)
    _say_estimate("self-normalised", found.snips)
    _say_estimate("inverse propensity", found.ips)
    estimate = found.ips
    say(
        f"from {estimate.events:,} decisions with mature labels, worth "
        f"{estimate.effective_events:,.0f} equally weighted ones; the largest weight is "
        f"{estimate.largest_weight:,.1f}. The intervals hold for one look."
    )


def _say_estimate(name: str, estimate: Estimate) -> None:
    say(f"  {name:<19} {estimate.value:.5f}  ({estimate.low:.5f} to {estimate.high:.5f})")
