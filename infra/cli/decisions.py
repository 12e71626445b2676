"""`weir decisions` shows decisions of the stream; `weir predict` asks the API for a score.

Decisions of the past are read with `clients.kafka_log`, those to come with `clients.topic_tail`.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from clients.kafka_log import TopicLog
from clients.topic_tail import TopicTail
from infra.cli.failures import UsageError
from infra.cli.live_view import styled_kind
from schemas.decision import Decision
from schemas.errors import RetryableError
from schemas.output_codec import decode_decision
from schemas.settings import Settings
from schemas.topics import DECISIONS

KINDS: Final = ("APPROVE", "REVIEW", "BLOCK")
_POLL_S: Final = 0.2
_ANSWER_S_MAX: Final = 10.0

out = Console(soft_wrap=True)


class ApiUnreachableError(RetryableError):
    """The API does not answer."""


IsWanted = Callable[[Decision], bool]


def decisions(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    user: Annotated[str | None, typer.Option(help="Of this user only.")] = None,
    kind: Annotated[str | None, typer.Option(help="APPROVE, REVIEW or BLOCK only.")] = None,
    last: Annotated[
        int, typer.Option(min=0, help="Past decisions to show of each partition.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Whole decisions, one a line.")] = False,
) -> None:
    """Show decisions: the newest, and with --follow those to come."""
    if kind is not None and kind.upper() not in KINDS:
        raise UsageError(f"--kind {kind} is none of {', '.join(KINDS)}")
    bootstrap = Settings().kafka_bootstrap

    def is_wanted(decision: Decision) -> bool:
        of_kind = kind is None or decision.decision == kind.upper()
        return of_kind and (user is None or decision.user_id == user)

    try:
        ends = _show_past(bootstrap, is_wanted, last=last, as_json=as_json)
        if follow:
            _show_new(bootstrap, is_wanted, start=ends, as_json=as_json)
    except KeyboardInterrupt:
        return


def _show_past(bootstrap: str, is_wanted: IsWanted, *, last: int, as_json: bool) -> dict[int, int]:
    """Show the newest decisions in the order they were made; gives the offsets after them."""
    past: list[tuple[Decision, bytes]] = []
    with TopicLog(bootstrap, DECISIONS) as log:
        for partition, (first, end) in log.ranges.items():
            for record in log.read(partition, first=max(first, end - last), end=end):
                past.append((decode_decision(record.value), record.value or b""))
        ends = {partition: end for partition, (_, end) in log.ranges.items()}
    for decision, value in sorted(past, key=lambda entry: entry[0].decided_at_ms):
        if is_wanted(decision):
            _print(decision, value, as_json=as_json)
    return ends


def _show_new(bootstrap: str, is_wanted: IsWanted, *, start: dict[int, int], as_json: bool) -> None:
    """Show decisions from some offsets on as they arrive, until Ctrl-C."""
    with TopicTail(bootstrap, DECISIONS, start={DECISIONS: start}) as tail:
        while True:
            message = tail.poll(_POLL_S)
            if message is None:
                continue
            value = message.value() or b""
            decision = decode_decision(value)
            if is_wanted(decision):
                _print(decision, value, as_json=as_json)


def _print(decision: Decision, value: bytes, *, as_json: bool) -> None:
    if as_json:
        typer.echo(value.decode())
        return
    time = datetime.fromtimestamp(decision.event_time_ms / 1_000, UTC)
    why = "; ".join((*decision.reasons, *decision.degraded))
    arm = "" if decision.arm is None else f" {escape(decision.arm)}"
    out.print(
        f"{time:%Y-%m-%d %H:%M:%S}  {styled_kind(decision.decision):8}  {decision.score:.3f}  "
        f"{escape(decision.transaction_id)}  {escape(decision.user_id)}  "
        f"v{escape(decision.model.version)}{arm}  [dim]{escape(why)}[/]",
        highlight=False,
    )


def predict(
    *,
    user: Annotated[str, typer.Option(help="Who pays.")],
    merchant: Annotated[str, typer.Option(help="Who is paid.")],
    amount_minor: Annotated[int, typer.Option(help="Amount in minor units (cents).")],
    device_type: Annotated[str | None, typer.Option(help="What it is paid with.")] = None,
    ip_country: Annotated[str | None, typer.Option(help="Where from, two letters.")] = None,
    transaction_id: Annotated[str | None, typer.Option(help="Generated if left out.")] = None,
    event_time_ms: Annotated[
        int | None, typer.Option(help="ms since 1970 UTC; now if left out.")
    ] = None,
    api_key: Annotated[
        str | None,
        typer.Option(envvar="WEIR_API_KEY", help="For an API that asks for keys."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The API's whole answer, on one line.")
    ] = False,
) -> None:
    """Score a transaction without sending it. Nothing is stored."""
    settings = Settings()
    given = {
        "transaction_id": transaction_id,
        "user_id": user,
        "merchant_id": merchant,
        "amount_minor": amount_minor,
        "currency": settings.currency,
        "event_time_ms": event_time_ms,
        "device_type": device_type,
        "ip_country": ip_country,
    }
    body = {name: value for name, value in given.items() if value is not None}
    address = f"http://{settings.api_host}:{settings.api_port}"
    answer = _post(address, "/predict", body, api_key=api_key)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        _print_prediction(answer)


def _print_prediction(answer: dict[str, Any]) -> None:
    """Show what was decided, why, and what was missing; ``--json`` shows the features too."""
    model = answer["model"]
    out.print(
        f"{styled_kind(answer['decision'])}  {answer['score']:.3f}  "
        f"{escape(model['name'])} v{escape(model['version'])}",
        highlight=False,
    )
    for name in ("reasons", "degraded", "approximate"):
        for text in answer[name]:
            label = "" if name == "reasons" else f"{name}: "
            out.print(f"  {label}{escape(text)}", highlight=False)


def _post(address: str, path: str, body: dict[str, Any], *, api_key: str | None) -> Any:
    """Ask the API; a refusal becomes an error with the API's own text."""
    request = urllib.request.Request(  # noqa: S310 - http
        address + path,
        data=json.dumps(body).encode(),
        headers={
            "content-type": "application/json",
            **({} if api_key is None else {"authorization": f"Bearer {api_key}"}),
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=_ANSWER_S_MAX) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        problem = json.load(error)
        raise UsageError(f"the API refuses: {problem.get('detail', problem)}") from error
    except OSError as error:
        raise ApiUnreachableError(
            f"the API does not answer at {address} (settings WEIR_API_HOST, WEIR_API_PORT): "
            f"{error}; start the stack with `weir up`"
        ) from error
