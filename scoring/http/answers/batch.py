"""The answer of POST /predict/batch: for each transaction its score, or why it has none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from pydantic import Field

from schemas.errors import InvalidEventError
from scoring.http.answers import Answer
from scoring.http.answers import predict as single
from scoring.http.answers.predict import PredictAnswer
from scoring.http.answers.problem import Problem


class BatchPredictAnswer(Answer):
    """The scores of some ad-hoc transactions. Nothing is stored, nothing is emitted."""

    answers: list[PredictAnswer | Problem] = Field(
        description="one for each transaction, in their order: what POST /predict would have "
        "answered; a problem has a status"
    )
    refused: int = Field(ge=0, description="how many of the answers are problems")

    @classmethod
    def of(cls, answers: Sequence[PredictAnswer | InvalidEventError]) -> Self:
        """Build the answer from scores and refusals, in the order of the transactions."""
        built = [
            Problem.of_invalid(answer) if isinstance(answer, InvalidEventError) else answer
            for answer in answers
        ]
        return cls(answers=built, refused=sum(isinstance(each, Problem) for each in built))


EXAMPLE = BatchPredictAnswer(
    answers=[single.EXAMPLE, Problem.of(422, "amount_minor is -1, limit 0", "amount_minor")],
    refused=1,
)
