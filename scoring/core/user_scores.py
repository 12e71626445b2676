"""Scores users by a model of users: stored bytes in, scores and decisions out.

Pure. The same trees and the same numbers as batch scoring, so the scores are equal to the last bit.
Called by the API.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np

from features.online.batch_values import MISSING, STALE, UNREADABLE
from features.online.user_inputs import (
    NO_HISTORY_STORED,
    OTHER_DEFINITIONS,
    VELOCITY_UNREADABLE,
    UserInputLayout,
    UserInputs,
)
from models.artifact.load import LoadedModel
from models.definition import ModelDefinition
from scoring.core.served_model import ServedModel

_BATCH_HINT: Final = "`weir materialize` writes them"
_VELOCITY_HINT: Final = "the velocity job writes them; `weir online rebuild` has it write all"
_WHY: Final[Mapping[str, str]] = {
    MISSING: f"the batch features of view {{view}} were never written to Redis; {_BATCH_HINT}",
    STALE: f"the batch features of view {{view}} in Redis are too old; {_BATCH_HINT}",
    UNREADABLE: f"the batch features of view {{view}} in Redis cannot be read; {_BATCH_HINT}",
    VELOCITY_UNREADABLE: f"the user's velocity in Redis cannot be read; {_VELOCITY_HINT}",
    OTHER_DEFINITIONS: "the user's velocity in Redis is of other feature definitions; "
    + _VELOCITY_HINT,
}


class StoredUser(NamedTuple):
    """What the online store has of one user, as bytes: the answer for `UserInputLayout.decode`."""

    fields: Sequence[bytes | None]
    complete: bytes | None


@dataclass(frozen=True, slots=True)
class UserScore:
    """The score of one user.

    Attributes:
        user_id: the user.
        score: from 0 to 1.
        decision: by the policy of the model's definition.
        inputs: what it rests on.
    """

    user_id: str
    score: float
    decision: str
    inputs: UserInputs


@dataclass(frozen=True, slots=True)
class NoScore:
    """A user without a score.

    Attributes:
        user_id: the user.
        is_unknown: the user has no history; otherwise something has to be written to Redis first.
        reason: in one sentence, with what to do.
    """

    user_id: str
    is_unknown: bool
    reason: str


class UserInputReader(Protocol):
    """Reads what the online store has of some users. Called by the API, once a request."""

    async def read(
        self,
        layout: UserInputLayout,
        user_ids: Sequence[str],
        *,
        timeout_ms: float | None = None,
    ) -> Mapping[str, StoredUser]:
        """Read some users, each once, in one round trip.

        Args:
            layout: of the model's inputs.
            user_ids: at least one.
            timeout_ms: a limit for this read, ms, instead of ``redis_timeout_ms``.

        Returns:
            What is stored, by user, in the order of the ids.

        Raises:
            OnlineStoreUnavailableError: no complete answer in time.
        """
        ...


def score_users(
    users: Mapping[str, StoredUser],
    model: LoadedModel,
    served: ServedModel,
    *,
    as_of_ms: int,
) -> list[UserScore | NoScore]:
    """Score some users in one call of the model.

    Blocks: for the computation only, some 20 us a user.

    Args:
        users: what is stored of each, in the order of the answer.
        model: the champion; it takes the columns of the definition.
        served: of the model.
        as_of_ms: when the scores count, ms since 1970 UTC.
    """
    definition = served.definition
    found = {
        user_id: served.layout.decode(stored.fields, stored.complete, as_of_ms=as_of_ms)
        for user_id, stored in users.items()
    }
    known = {user_id: inputs for user_id, inputs in found.items() if isinstance(inputs, UserInputs)}
    vectors = np.array([inputs.vector(model.spec.columns) for inputs in known.values()])
    scores = dict(zip(known, model.trees.scores(vectors).tolist(), strict=True))
    return [
        UserScore(user_id, scores[user_id], definition.policy.outcome(scores[user_id]), inputs)
        if isinstance(inputs, UserInputs)
        else _no_score(user_id, inputs, definition)
        for user_id, inputs in found.items()
    ]


def _no_score(user_id: str, reason: str, definition: ModelDefinition) -> NoScore:
    if reason == NO_HISTORY_STORED:
        return NoScore(user_id, is_unknown=True, reason=f"no history for user {user_id!r:.80}")
    view = definition.batch_view
    why = _WHY[reason].format(view="" if view is None else view.name)
    return NoScore(
        user_id, is_unknown=False, reason=f"model {definition.name} cannot score now: {why}"
    )
