"""The routes of rollouts: the same as the commands `weir rollout`, with the scope operate.

Each reads or writes the log of rollouts, which takes some hundred ms, in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated, TypeVar

from fastapi import APIRouter, Path, Request, Response
from pydantic import AfterValidator
from starlette.exceptions import HTTPException

from schemas import codec
from schemas.errors import InvalidEventError
from schemas.rollout import RolloutChange
from scoring.core.errors import NoSuchRolloutError, RolloutConflictError
from scoring.core.rollout_report import report
from scoring.http.answers.problem import Problem
from scoring.http.answers.rollout import (
    EXAMPLE,
    LIST_EXAMPLE,
    CountedAnswer,
    RolloutAnswer,
    RolloutsAnswer,
)
from scoring.http.deps import Parts, parts_of
from scoring.http.openapi import answered, refused
from scoring.http.predict_request import BODY_BYTES_MAX, BODY_TIMEOUT_S
from scoring.http.rollout_request import (
    describe_change,
    describe_start,
    read_change,
    read_start_request,
)
from scoring.http.scoped_route import scoped
from scoring.stores.rollout_commands import RolloutCommands

read_router = APIRouter(tags=["Rollouts"], route_class=scoped("read"))
router = APIRouter(tags=["Rollouts"], route_class=scoped("operate"))

RolloutId = Annotated[
    str,
    AfterValidator(partial(codec.check_id, field="rollout_id")),
    Path(description="name of the rollout"),
]

_OF_THE_BODY = frozenset({"by", "reason"})
_OF_THE_STATE = frozenset({"champion", "model_name"})
"""What an `InvalidEventError` of a start may be about that has nothing to do with its body."""

_AWAY = Problem.of(
    503,
    "Kafka does not answer at 127.0.0.1:9092 (setting WEIR_KAFKA_BOOTSTRAP): connection refused, "
    "or no Kafka broker behind it; start the stack with `weir up`",
)
_UNKNOWN = Problem.of(404, "there is no rollout 'v9'; `weir rollout list` shows all")
_ENDED = Problem.of(409, "status is aborted: v8 has ended; start a new one")
_BODIES = (
    Problem.of(408, f"the body was not complete in {BODY_TIMEOUT_S} s"),
    Problem.of(413, f"the body is over {BODY_BYTES_MAX} bytes"),
)
_NOT_WON = Problem.of(
    409,
    "status is aborted: v8 has ended and no new version of it is the champion, so there is nothing "
    "to roll back",
)
_CHANGE_REFUSALS = refused(
    *_BODIES,
    _UNKNOWN,
    Problem.of(422, "why is not known; known are by, reason", "why"),
    _AWAY,
)

T = TypeVar("T")


@read_router.get(
    "/rollouts",
    summary="All rollouts, and where each stands",
    responses={200: answered("the rollouts, oldest first", LIST_EXAMPLE), **refused(_AWAY)},
)
async def rollouts(parts: Parts) -> RolloutsAnswer:
    """List all rollouts of this deployment, also those that have ended."""
    history = await _asked(parts.rollout_commands.read)
    return RolloutsAnswer(rollouts=[RolloutAnswer.of(report([change])) for change in history])


@read_router.get(
    "/rollouts/{rollout_id}",
    summary="Where a rollout stands, and why",
    responses={
        200: answered("the rollout", EXAMPLE),
        **refused(_UNKNOWN, Problem.of(422, "rollout_id is blank: ' '", "rollout_id"), _AWAY),
    },
)
async def rollout(rollout_id: RolloutId, parts: Parts) -> RolloutAnswer:
    """Say where a rollout stands, why, what happens next, every change of it, and its figures."""
    changes = await _asked(lambda: parts.rollout_commands.changes(rollout_id))
    reading = await _asked(lambda: parts.rollout_reading(rollout_id))
    if reading is None:
        return RolloutAnswer.of(report(changes))
    is_active = changes[-1].rollout.is_active
    counted = CountedAnswer.of(reading, is_active=is_active, now_ms=parts.now_ms())
    return RolloutAnswer.of(report(changes), counted)


@router.post(
    "/rollouts",
    status_code=201,
    summary="Start a rollout",
    responses={
        201: answered("the rollout at its start", EXAMPLE),
        **refused(
            *_BODIES,
            Problem.of(
                409,
                "model_name is 'weir-fraud', whose traffic the rollout v7 splits (running); "
                "promote or abort that one first",
                "model_name",
            ),
            Problem.of(
                422,
                "strategy is 'canaries', must be one of canary, ab, shadow, blue_green, bandit",
                "strategy",
            ),
            _AWAY,
        ),
    },
    openapi_extra={"requestBody": describe_start()},
)
async def start_rollout(request: Request) -> RolloutAnswer:
    """Start a rollout of a version beside the champion; scorer and API follow within 2 s.

    Nothing is changed if a version is unknown, has other feature definitions or fails the scorer's
    checks, or while another rollout of the model is active.
    """
    start, asked = await read_start_request(request)
    commands = parts_of(request).rollout_commands
    return await _answered(
        lambda: commands.start(start, by=asked.by, reason=asked.reason), is_start=True
    )


def _change_route(
    name: str,
    summary: str,
    description: str,
    make: Callable[..., RolloutChange],
    *,
    arm_field: str | None = None,
    arm_meaning: str = "",
    status: int = 200,
    asks: str | None = None,
    ended: Problem = _ENDED,
) -> None:
    """Add one route that changes a rollout; its body names who asks and why.

    Of a completed rollout, where ``asks`` says what the controller is asked for, the answer is 202.
    """

    async def change_rollout(
        rollout_id: RolloutId, request: Request, response: Response
    ) -> RolloutAnswer:
        asked = await read_change(request, arm_field=arm_field, default_reason=f"{name} over HTTP")
        arm = {arm_field: asked.arm} if arm_field is not None else {}
        commands = parts_of(request).rollout_commands
        answer = await _answered(
            lambda: make(commands, rollout_id, by=asked.by, reason=asked.reason, **arm),
            is_start=False,
        )
        response.status_code = 202 if answer.status == "completed" else status
        return answer

    router.add_api_route(
        f"/rollouts/{{rollout_id}}/{name}",
        change_rollout,
        name=f"{name}_rollout",
        methods=["POST"],
        status_code=status,
        summary=summary,
        description=description,
        responses={
            status: answered("the rollout after the change", EXAMPLE),
            **({} if asks is None else {202: answered(asks, EXAMPLE)}),
            **_CHANGE_REFUSALS,
            **refused(ended),
        },
        openapi_extra={"requestBody": describe_change(arm_field, arm_meaning)},
    )


_change_route(
    "pause",
    "Let a rollout rest",
    "Its shares stay, and the controller takes no step until it is resumed.",
    RolloutCommands.pause,
)
_change_route(
    "resume", "Let a paused rollout go on", "It goes on where it was.", RolloutCommands.resume
)
_change_route(
    "switch",
    "Switch blue/green",
    "Moves all traffic of a blue/green rollout to the other version, or back.",
    RolloutCommands.switch,
    arm_field="to",
    arm_meaning="blue or green; the one without traffic if left out.",
)
_change_route(
    "abort",
    "End a rollout without a verdict",
    "The champion decides alone within 2 s.",
    RolloutCommands.abort,
)
_change_route(
    "rollback",
    "Take the challenger back",
    "The champion decides alone within 2 s. Once the challenger is the champion, this answers 202: "
    "the controller makes the champion before it decide again, and the rollout then says so, or "
    "why not.",
    RolloutCommands.ask_to_roll_back,
    asks="the rollout was completed: the controller is asked to take its winner back",
    ended=_NOT_WON,
)
_change_route(
    "promote",
    "Ask for a promotion",
    "The controller asks the parity gate, which reads all logs, and makes the version the "
    "champion if parity is 0; the rollout then says so, or why not.",
    RolloutCommands.ask_to_promote,
    arm_field="arm",
    arm_meaning="Arm whose version is to win; the only challenger if left out.",
    status=202,
)


async def _answered(change: Callable[[], RolloutChange], *, is_start: bool) -> RolloutAnswer:
    """Make a change; give the rollout after it.

    Raises:
        HTTPException: 409, what the rollout is stands in the way.
        InvalidEventError: what was sent is wrong.
    """
    try:
        return RolloutAnswer.of(report([await _asked(change)]))
    except RolloutConflictError as error:
        raise HTTPException(409, str(error)) from error
    except InvalidEventError as error:
        speaks_of_the_state = (
            error.field in _OF_THE_STATE or error.reason.endswith("choose another id")
            if is_start
            else error.field not in _OF_THE_BODY
        )
        if speaks_of_the_state:
            raise HTTPException(409, str(error)) from error
        raise


async def _asked(ask: Callable[[], T]) -> T:
    """Ask in a thread: reading the log takes some hundred ms."""
    try:
        return await asyncio.to_thread(ask)
    except NoSuchRolloutError as error:
        raise HTTPException(404, str(error)) from error
