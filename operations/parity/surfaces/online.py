"""Compares an entity's view in Redis with what the recomputation gives.

Both the stored values and the values that the stored state gives. Redis is written a little later
than the feature log, so a hash that is behind is read again. Pure; knows no Redis client.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from itertools import islice
from typing import Final, Protocol, TypeAlias

from features.definitions import DEFINITION_DIGEST, Entity
from features.engine.state import MerchantState, UserState, Values
from features.online import layout as online_store
from features.online.layout import OnlineEntity
from operations.parity.recomputation.recomputed import EntityValues, Recomputed
from operations.parity.report import SurfaceReport

ENTITIES_AT_ONCE: Final = 500

StoredHash: TypeAlias = Mapping[bytes, bytes]
"""All fields of one entity in Redis; empty if it is not there."""

_STATES: Final[dict[Entity, type[UserState] | type[MerchantState]]] = {
    "user": UserState,
    "merchant": MerchantState,
}


class StoredEntities(Protocol):
    """The users and merchants in Redis."""

    def read(self, entity: Entity, ids: Sequence[str]) -> Sequence[StoredHash]:
        """Give the hashes of some entities in their order; an empty one where there is none."""

    def ids(self, entity: Entity) -> Iterable[str]:
        """Give the ids of all entities of a kind that are stored."""


class OnlineComparison:
    """Compares the stored entities of one kind."""

    def __init__(self, entity: Entity, recomputed: Recomputed, stored: StoredEntities) -> None:
        """Name what is compared; nothing is read yet.

        Args:
            entity: the kind.
            recomputed: what the values should be, as of the newest event of each entity.
            stored: where the hashes are read.
        """
        self._entity = entity
        self._wanted = recomputed.entities[entity]
        self._stored = stored
        self._report = SurfaceReport()

    def compare(
        self,
        *,
        is_worth_waiting: Callable[[int], bool],
        appeared_since: Callable[[], Set[str]],
    ) -> SurfaceReport:
        """Compare every recomputed entity, then count the stored ones that were not recomputed.

        Args:
            is_worth_waiting: asked with the number of hashes that are missing or behind; waits a
                little and says whether to read them again.
            appeared_since: asked for the ids that are in the logs after the part that was
                recomputed, if Redis holds ids that were not recomputed.
        """
        behind = self._compare(list(self._wanted), is_last_try=False)
        while is_worth_waiting(len(behind)):
            behind = self._compare(behind, is_last_try=False)
        self._compare(behind, is_last_try=True)
        unknown = [each for each in self._stored.ids(self._entity) if each not in self._wanted]
        if unknown:
            self._count_unknown(unknown, appeared_since())
        return self._report

    def _compare(self, ids: Sequence[str], *, is_last_try: bool) -> list[str]:
        """Compare some entities; give the ids of those that are behind, unless it is too late."""
        behind = []
        remaining = iter(ids)
        while some := list(islice(remaining, ENTITIES_AT_ONCE)):
            for entity_id, found in zip(some, self._stored.read(self._entity, some), strict=True):
                wanted = self._wanted[entity_id]
                if not is_last_try and _is_behind(self._entity, found, wanted):
                    behind.append(entity_id)
                else:
                    self._compare_entity(entity_id, found, wanted)
        return behind

    def _compare_entity(self, entity_id: str, found: StoredHash, wanted: EntityValues) -> None:
        report = self._report
        of_state: Values | None = None
        try:
            stored = online_store.decode_hash(self._entity, found)
            if stored is None:
                report.missing += 1
                return
            if stored.sequence > wanted.values.sequence:
                report.newer += 1
                return
            state = _STATES[self._entity].decode(stored.state)
            of_state = state.read(as_of_ms=wanted.event_time_ms)
        except ValueError as error:
            report.differs(entity_id, "state", found=f"{error!s:.80}", recomputed="a state")
        self._compare_values(entity_id, found, wanted, of_state)

    def _compare_values(
        self, entity_id: str, found: StoredHash, wanted: EntityValues, of_state: Values | None
    ) -> None:
        report = self._report
        fields = online_store.hash_fields(
            self._entity,
            wanted.values,
            state=b"",
            sequence=wanted.values.sequence,
            event_time_ms=wanted.event_time_ms,
        )
        view = online_store.VIEWS[self._entity]
        report.checked += len(wanted.values.features) * (1 if of_state is None else 2)
        for name, value in wanted.values.features.items():
            field = online_store.field_name(view, name)
            if found.get(field) != fields[field]:
                shown = f"bytes {found[field].hex()}" if field in found else "absent"
                report.differs(entity_id, f"stored {name}", found=shown, recomputed=value)
            if of_state is not None and of_state.features[name] != value:
                found_value = of_state.features[name]
                report.differs(entity_id, f"state's {name}", found=found_value, recomputed=value)

    def _count_unknown(self, unknown: Sequence[str], appeared: Set[str]) -> None:
        """Count entities that were not recomputed: newer than the logs as read, or of no log."""
        newest_ms = max((each.event_time_ms for each in self._wanted.values()), default=0)
        remaining = iter(unknown)
        while some := list(islice(remaining, ENTITIES_AT_ONCE)):
            for entity_id, found in zip(some, self._stored.read(self._entity, some), strict=True):
                try:
                    stored = online_store.decode_hash(self._entity, found)
                except online_store.OnlineStoreBytesError:
                    self._report.extra += 1
                    continue
                # A hash without any field of our view holds other views of the same entity.
                if stored is None:
                    continue
                if entity_id in appeared or _is_newer(stored, newest_ms):
                    self._report.newer += 1
                else:
                    self._report.extra += 1


def _is_behind(entity: Entity, found: StoredHash, wanted: EntityValues) -> bool:
    """Whether a hash is not there yet, or is of an earlier event than the newest one."""
    try:
        stored = online_store.decode_hash(entity, found)
    except online_store.OnlineStoreBytesError:
        return False
    return stored is None or stored.sequence < wanted.values.sequence


def _is_newer(stored: OnlineEntity, newest_ms: int) -> bool:
    return stored.event_time_ms > newest_ms or stored.digest != DEFINITION_DIGEST
