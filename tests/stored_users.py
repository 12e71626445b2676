"""An online store in memory that has the inputs of a model of users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.batch import ACTIVITY
from features.definitions import DEFINITION_DIGEST
from features.engine.values import FeatureValue
from features.online import feast_values
from features.online import layout as online_store
from features.online.user_inputs import UserInputLayout
from features.user_inputs import USER_INPUTS
from scoring.core.errors import OnlineStoreUnavailableError
from scoring.core.user_scores import StoredUser


class StoredUsers:
    """A `UserInputReader` in memory."""

    def __init__(self) -> None:
        self.hashes: dict[str, dict[bytes, bytes]] = {}
        self.complete_ms: int | None = None
        self.is_down = False
        self.reads = 0

    def remember(
        self, user_id: str, features: Mapping[str, FeatureValue], *, event_time_ms: int
    ) -> dict[bytes, bytes]:
        """Store velocity as the velocity job does; gives the hash, to add to it or to damage it."""
        view = online_store.VIEWS["user"]
        fields = {
            online_store.digest_field(view): DEFINITION_DIGEST.encode(),
            online_store.timestamp_field(view): feast_values.timestamp_value(event_time_ms),
        }
        fields |= {
            online_store.field_name(view, name): _value(name, value)
            for name, value in features.items()
        }
        self.hashes[user_id] = fields
        return fields

    def materialize(
        self, user_id: str, features: Mapping[str, FeatureValue], *, snapshot_ms: int
    ) -> None:
        """Store batch features as Feast does."""
        self.hashes.setdefault(user_id, {})
        self.hashes[user_id] |= {
            online_store.timestamp_field(ACTIVITY.name): feast_values.timestamp_value(snapshot_ms),
            **{
                online_store.field_name(ACTIVITY.name, name): _value(name, features[name])
                for name in ACTIVITY.names
            },
        }

    async def read(
        self, layout: UserInputLayout, user_ids: Sequence[str], *, timeout_ms: float | None = None
    ) -> dict[str, StoredUser]:
        self.reads += 1
        if self.is_down:
            raise OnlineStoreUnavailableError("Redis did not give the inputs: it is down")
        complete = None if self.complete_ms is None else b"%d" % self.complete_ms
        return {
            user_id: StoredUser(
                [self.hashes.get(user_id, {}).get(field) for field in layout.fields], complete
            )
            for user_id in dict.fromkeys(user_ids)
        }


def _value(name: str, value: FeatureValue) -> bytes:
    if value is None:
        return feast_values.NULL_VALUE
    if USER_INPUTS[name] == "double":
        return feast_values.double_value(value)
    return feast_values.int64_value(int(value))
