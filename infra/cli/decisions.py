"""`weir decisions` and `weir predict`: what was decided, and what would be.

kafka-python, the project's ordinary client: a person reads a few decisions a second.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer
from kafka import KafkaConsumer, TopicPartition
from kafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape

from clients.kafka import topic_partitions, unreachable
from infra.cli.failures import UsageError
from infra.cli.live_view import styled_kind
from schemas.decision import Decision
from schemas.errors import RetryableError
from schemas.output_codec import decode_decision
from schemas.settings import Settings
from schemas.topics import DECISIONS

KINDS: Final = ("APPROVE", "REVIEW", "BLOCK")
_POLL_MS: Final = 200
_ANSWER_S_MAX: Final = 10.0

out = Console(soft_wrap=True)


class ApiUnreachableError(RetryableError):
    """The API does not answer."""


def decisions(
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    user: Annotated[str | None, typer.Option(help="Of this user only.")] = None,
    kind: Annotated[str | None, typer.Option(help="APPROVE, REVIEW or BLOCK only.")] = None,
    last: Annotated[
        int, typer.Option(min=0, help="Look back at this many of each partition.")
    ] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Whole decisions, one a line.")] = False,
) -> None:
    """Show decisions: the newest, and with --follow those to come."""
    if kind is not None and kind.upper() not in KINDS:
        raise UsageError(f"--kind {kind} is none of {', '.join(KINDS)}")
    settings = Settings()
    partitions = topic_partitions(settings.kafka_bootstrap, (DECISIONS,))[DECISIONS]

    def is_wanted(decision: Decision) -> bool:
        of_kind = kind is None or decision.decision == kind.upper()
        return of_kind and (user is None or decision.user_id == user)

    try:
        consumer = KafkaConsumer(bootstrap_servers=settings.kafka_bootstrap, group_id=None)
        try:
            _show(consumer, partitions, is_wanted, follow=follow, last=last, as_json=as_json)
        finally:
            consumer.close()
    except KafkaError as error:
        raise unreachable(settings.kafka_bootstrap, str(error)) from error
    except KeyboardInterrupt:
        return


def _show(
    consumer: KafkaConsumer,
    partitions: list[int],
    is_wanted: Callable[[Decision], bool],
    *,
    follow: bool,
    last: int,
    as_json: bool,
) -> None:
    places = [TopicPartition(DECISIONS, partition) for partition in partitions]
    consumer.assign(places)
    begins, ends = consumer.beginning_offsets(places), consumer.end_offsets(places)
    for place in places:
        consumer.seek(place, max(begins[place], ends[place] - last))
    past: list[tuple[Decision, bytes]] = []
    while any(consumer.position(place) < ends[place] for place in places):
        past.extend(_polled(consumer))
    for decision, value in sorted(past, key=lambda entry: entry[0].decided_at_ms):
        if is_wanted(decision):
            _print(decision, value, as_json=as_json)
    while follow:
        for decision, value in _polled(consumer):
            if is_wanted(decision):
                _print(decision, value, as_json=as_json)


def _polled(consumer: KafkaConsumer) -> Iterator[tuple[Decision, bytes]]:
    for records in consumer.poll(timeout_ms=_POLL_MS).values():
        for record in records:
            yield decode_decision(record.value), record.value


def _print(decision: Decision, value: bytes, *, as_json: bool) -> None:
    if as_json:
        typer.echo(value.decode())
        return
    time = datetime.fromtimestamp(decision.event_time_ms / 1_000, UTC)
    why = "; ".join((*decision.reasons, *decision.degraded))
    out.print(
        f"{time:%Y-%m-%d %H:%M:%S}  {styled_kind(decision):8}  {decision.score:.3f}  "
        f"{escape(decision.transaction_id)}  {escape(decision.user_id)}  "
        f"v{escape(decision.model.version)}  [dim]{escape(why)}[/]",
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
) -> None:
    """Score a transaction that nobody has sent. Nothing is stored."""
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
    out.print_json(json.dumps(_post(address, "/predict", body)))


def _post(address: str, path: str, body: dict[str, Any]) -> Any:
    """Ask the API; what it refuses is an error that says why in its words."""
    request = urllib.request.Request(  # noqa: S310 - the address is ours, and http
        address + path,
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
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


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command("decisions")(decisions)
    app.command("predict")(predict)
