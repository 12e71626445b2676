"""What a person asks to start, read from a JSON object: the same for the command and for HTTP.

Pure. A field that is not known is refused, because a misspelt limit would otherwise not limit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final, TypeVar, cast, get_args

from schemas.errors import shown
from schemas.field_readers import read_text, refuse
from schemas.rollout import SHARES_BP, LetThroughRule, Limits, LossWeights, Plan, Strategy
from schemas.rollout_codec import read_record
from scoring.core.rollout_changes import CHALLENGER, GREEN, Start

NAME_LENGTH_MAX: Final = 64
"""Longest version, arm and name of a person, in characters."""
REASON_LENGTH_MAX: Final = 1_000
"""Longest reason, in characters."""

_T = TypeVar("_T")


_FIELDS = (
    *("rollout_id", "strategy", "challenger", "challengers", "challenger_share_bp"),
    *("plan", "limits", "loss", "let_through"),
)


def read_start(obj: Mapping[str, object]) -> Start:
    """Read a start: ``rollout_id``, ``strategy``, ``challenger`` and what differs from the default.

    A bandit may name several arms: ``challengers``, an object of version by name.

    Raises:
        InvalidEventError: a field is missing, not known, or not within its limits.
    """
    _check_known(obj, _FIELDS, "")
    strategy = obj.get("strategy")
    if strategy not in get_args(Strategy):
        refuse(
            "strategy",
            f"is {shown(strategy)}, must be one of {', '.join(get_args(Strategy))}",
        )
    share_bp = obj.get("challenger_share_bp", SHARES_BP // 2)
    if type(share_bp) is not int:
        refuse("challenger_share_bp", f"is {shown(share_bp)}, must be an integer")
    return Start(
        rollout_id=read_text(obj, "rollout_id", NAME_LENGTH_MAX),
        strategy=cast(Strategy, strategy),
        challengers=_challengers(obj, cast(Strategy, strategy)),
        challenger_share_bp=share_bp,
        plan=_part(Plan, obj, "plan"),
        limits=_part(Limits, obj, "limits"),
        loss=_part(LossWeights, obj, "loss"),
        let_through=_part(LetThroughRule, obj, "let_through"),
    )


def _challengers(obj: Mapping[str, object], strategy: Strategy) -> dict[str, str]:
    if ("challenger" in obj) == ("challengers" in obj):
        refuse("challenger", "or challengers must be given, and only one of them")
    if "challenger" in obj:
        name = GREEN if strategy == "blue_green" else CHALLENGER
        return {name: read_text(obj, "challenger", NAME_LENGTH_MAX)}
    named = obj["challengers"]
    if not isinstance(named, Mapping) or not named:
        refuse("challengers", f"is {shown(named)}, must be an object of version by name")
    return {str(name): read_text(named, name, NAME_LENGTH_MAX) for name in named}


def _part(kind: type[_T], obj: Mapping[str, object], name: str) -> _T:
    given = obj.get(name, {})
    if not isinstance(given, Mapping):
        refuse(name, f"is {shown(given)}, must be an object")
    fields = dataclasses.fields(cast(Any, kind))
    _check_known(given, tuple(field.name for field in fields), f"{name}.")
    return read_record(kind, given)


def _check_known(obj: Mapping[str, object], known: tuple[str, ...], path: str) -> None:
    for name in obj:
        if name not in known:
            refuse(f"{path}{name}", f"is not known; known are {', '.join(known)}")
