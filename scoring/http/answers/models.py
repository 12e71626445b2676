"""The answer of GET /models: the models of the deployment, and which version of each decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field

from models.definition import ModelDefinition
from models.policy import DecisionPolicy
from schemas.decision import ModelRef
from scoring.http.answers import EXAMPLE_MODEL, Answer, ModelAnswer


class OneModelAnswer(Answer):
    """A model of the deployment."""

    name: str
    description: str
    entity: str = Field(description="of what a prediction is: transaction or user")
    columns: dict[str, str] = Field(description="the input of the model: column to type, in order")
    outcomes: list[str] = Field(description="the decisions, for the lowest scores first")
    thresholds: list[float] = Field(description="one between two outcomes; a score must be above")
    champion: ModelAnswer | None = Field(description="the version that scores; null if none does")
    refused: dict[str, str] = Field(description="versions that cannot be used, with the reason")

    @classmethod
    def of(
        cls, definition: ModelDefinition, champion: ModelRef | None, refused: Mapping[str, str]
    ) -> Self:
        """Build the answer of one model."""
        return cls(
            name=definition.name,
            description=definition.description,
            entity=definition.entity,
            columns=dict(definition.column_types),
            outcomes=list(definition.policy.outcomes),
            thresholds=list(definition.policy.thresholds),
            champion=None if champion is None else ModelAnswer.of(champion),
            refused=dict(refused),
        )


class ModelsAnswer(Answer):
    """The models of the deployment, that of transactions first."""

    models: list[OneModelAnswer]


EXAMPLE = ModelsAnswer(
    models=[
        OneModelAnswer.of(
            ModelDefinition(
                name="weir-fraud",
                columns=("amount_minor",),
                entity="transaction",
                policy=DecisionPolicy(("APPROVE", "REVIEW", "BLOCK"), (0.5, 0.9)),
                description="Whether a transaction is fraud.",
            ),
            EXAMPLE_MODEL,
            {},
        )
    ]
)
