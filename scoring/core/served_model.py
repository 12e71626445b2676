"""A model of users as the API serves it: its definition, and the champion of the moment. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from features.online.user_inputs import UserInputLayout
from models.artifact.load import LoadedModel
from models.definition import ModelDefinition
from scoring.core.errors import NoChampionError
from scoring.core.last_good import remarks_of, without_remarks
from scoring.core.ports import ModelSource


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model of users.

    Attributes:
        definition: what it takes and decides.
        layout: where its inputs are in the online store.
        source: gives the version that scores at present.
        refused: gives the versions that were refused, each with its reason.
    """

    definition: ModelDefinition
    layout: UserInputLayout
    source: ModelSource
    refused: Callable[[], Mapping[str, str]]

    def champion(self) -> LoadedModel:
        """Give the version to score with; a request asks once. Never blocks.

        Raises:
            NoChampionError: there is none.
        """
        return self.champion_and_degraded()[0]

    def champion_and_degraded(self) -> tuple[LoadedModel, tuple[str, ...]]:
        """Give the version to score with, and what ``degraded`` says of every score by it.

        Raises:
            NoChampionError: there is none.
        """
        current = self.source.current()
        model = without_remarks(current)
        if isinstance(model, LoadedModel):
            return model, remarks_of(current)
        name = self.definition.name
        reasons = [f"version {version}: {why}" for version, why in self.refused().items()]
        why = f" (refused: {'; '.join(reasons):.300})" if reasons else ""
        raise NoChampionError(
            f"model {name} has no champion{why}; `weir train --model {name}` makes one"
        )
