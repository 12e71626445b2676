"""How routes describe their responses in the OpenAPI document: an example for each status.

Examples are instances of the answer models, so an example that breaks its model fails at import.
Called by the routes in `scoring.http.routes`.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from scoring.http.answers.problem import Problem
from scoring.http.problems import PROBLEM_TYPE

DESCRIPTION = """\
Scores of ad-hoc transactions, features as of now, and first decisions of the stream.

Nothing asked here is stored or emitted: a transaction that should count goes to the topic
`transactions`. Every refusal is a problem (RFC 9457) that names the field, the value and the limit.
"""

Responses = dict[int | str, dict[str, Any]]


def answered(description: str, example: BaseModel) -> dict[str, Any]:
    """Describe a response whose body is an instance of the example's model."""
    content = {"application/json": {"example": example.model_dump(mode="json")}}
    return {"description": description, "model": type(example), "content": content}


def refused(*examples: Problem) -> Responses:
    """Describe the problems that a route may answer with, by an example of each."""
    return {example.status: _refused(example) for example in examples}


def _refused(example: Problem) -> dict[str, Any]:
    media = {
        "schema": Problem.model_json_schema(),
        "example": example.model_dump(exclude_none=True),
    }
    return {"description": example.title, "content": {PROBLEM_TYPE: media}}
