"""The inputs of a model of users, read from Feast's online store: which fields, and what they give.

All fields of a user are in one hash, so a read is one command a user, and one for the mark that
says of when the batch features are. Pure. Called by the API, which reads the bytes from Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import nan
from typing import Final, NamedTuple

from features.batch import BatchView
from features.definitions import DEFINITION_DIGEST
from features.engine.values import FeatureValue
from features.online.batch_values import decode_batch_features
from features.online.feast_values import read_number, read_timestamp
from features.online.layout import (
    VIEWS,
    batch_fields,
    complete_key,
    digest_field,
    entity_key,
    field_name,
    timestamp_field,
)
from features.user_inputs import DAYS_IDLE, VELOCITY_NAMES, days_idle

NO_HISTORY_STORED: Final = "no_history"
"""The user has no transaction that the online store knows of."""
VELOCITY_UNREADABLE: Final = "velocity_unreadable"
"""The stored bytes of the user's velocity are damaged."""
OTHER_DEFINITIONS: Final = "velocity_of_other_definitions"
"""The user's velocity was computed by other feature definitions."""


class UserInputs(NamedTuple):
    """The inputs of one user as of a time.

    Attributes:
        features: value by column.
        event_time_ms: of the user's newest transaction, ms since 1970 UTC.
        snapshot_ms: of the batch features, ms since 1970 UTC; None if the model takes none.
    """

    features: Mapping[str, FeatureValue]
    event_time_ms: int
    snapshot_ms: int | None

    def vector(self, columns: Sequence[str]) -> list[float]:
        """Give the values of columns as numbers; NaN where there is no value."""
        values = (self.features[column] for column in columns)
        return [nan if value is None else float(value) for value in values]


@dataclass(frozen=True)
class UserInputLayout:
    """Where the inputs of one model are.

    Attributes:
        columns: of the model, each one of `features.user_inputs.USER_INPUTS`.
        view: of its batch features; None if it takes none.
        project: the setting ``feast_project``.
    """

    columns: tuple[str, ...]
    view: BatchView | None
    project: str

    @property
    def complete_key(self) -> bytes | None:
        """The key to GET before the users are read, because it is written last; None for none."""
        return None if self.view is None else complete_key(self.project, self.view)

    def key(self, user_id: str) -> bytes:
        """Give the key of a user's hash."""
        return entity_key("user", user_id, self.project)

    @cached_property
    def fields(self) -> list[bytes]:
        """The fields for HMGET, in the order that `decode` expects."""
        of_batch = () if self.view is None else batch_fields(self.view)
        view = VIEWS["user"]
        return [
            digest_field(view),
            timestamp_field(view),
            *(field_name(view, name) for name in self._velocity),
            *of_batch,
        ]

    def decode(
        self, stored: Sequence[bytes | None], complete: bytes | None, *, as_of_ms: int
    ) -> UserInputs | str:
        """Give the inputs of a user, or the reason why there are none.

        Args:
            stored: the answer to an HMGET of `fields`.
            complete: the answer to a GET of `complete_key`.
            as_of_ms: of the score, ms since 1970 UTC.

        Returns:
            The inputs; or one of the reasons of this module and of
            `features.online.batch_values`.
        """
        digest, timestamp, *values = stored
        velocity, of_batch = values[: len(self._velocity)], values[len(self._velocity) :]
        if timestamp is None or digest is None:
            return NO_HISTORY_STORED
        if digest.decode("ascii", "replace") != DEFINITION_DIGEST:
            return OTHER_DEFINITIONS
        try:
            event_time_ms = read_timestamp(timestamp)
            known = {
                name: read_number(_present(value))
                for name, value in zip(self._velocity, velocity, strict=True)
            }
        except (ValueError, IndexError):
            return VELOCITY_UNREADABLE
        features: dict[str, FeatureValue] = {
            **known,
            DAYS_IDLE: days_idle(event_time_ms, as_of_ms),
        }
        snapshot_ms = None
        if self.view is not None:
            batch = decode_batch_features(of_batch, complete, self.view).as_of(as_of_ms)
            if batch.degraded is not None:
                return batch.degraded
            features |= batch.features
            snapshot_ms = batch.as_of_ms
        wanted = {column: features[column] for column in self.columns}
        return UserInputs(wanted, event_time_ms, snapshot_ms)

    @cached_property
    def _velocity(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column in VELOCITY_NAMES)


def _present(value: bytes | None) -> bytes:
    if value is None:
        raise ValueError("a field is missing")
    return value
