"""Routes that a model brings itself, beside those that the platform has for every model.

A model whose inputs are more than those of a user, such as a ranking of products, defines them in
a module that its definition names (`models.definition.ModelDefinition`). Loaded by
`scoring.http.app`, opened by `scoring.http.parts`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import APIRouter

from models.catalogue import load_models, load_object
from schemas.settings import Settings
from scoring.core.served_model import ServedModel
from scoring.stores.guarded_reads import GuardedReads


@dataclass(frozen=True, slots=True)
class RoutesContext:
    """What routes of a model work with, from start-up to shutdown.

    Attributes:
        settings: of the deployment.
        model: its definition and its champion.
        store: reads Redis by one pipeline, within ``redis_timeout_ms``.
        now_ms: the clock, ms since 1970 UTC.
    """

    settings: Settings
    model: ServedModel
    store: GuardedReads
    now_ms: Callable[[], int]


@dataclass(frozen=True, slots=True)
class ModelRoutes:
    """Routes of one model.

    Attributes:
        router: with full paths, such as ``/models/recommendation/rank``, and
            ``route_class=scoped("predict")``, so that requests need an API key as all others do.
        open: opens what the routes need for the life of the process, such as data in memory. Must
            not wait for Redis or MLflow. A route gets it by `scoring.http.deps.opened_of`.
    """

    router: APIRouter
    open: Callable[[RoutesContext], AbstractAsyncContextManager[object]]


def load_routes(settings: Settings) -> Sequence[tuple[str, ModelRoutes]]:
    """Import the routes of the deployment's models, each with the name of its model.

    Raises:
        ModelDefinitionError: a definition or its routes cannot be imported.
    """
    found = []
    for definition in load_models(settings).values():
        if definition.routes:
            routes = load_object(
                definition.routes, ModelRoutes, of=f"the routes of model {definition.name}"
            )
            assert isinstance(routes, ModelRoutes)
            found.append((definition.name, routes))
    return found
