"""The routes of the HTTP API, one module for each answer, in the order of the reference.

A route checks nothing and builds nothing itself: dependencies give it valid input
(`scoring.http.deps`), models give it the answer (`scoring.http.answers`).
"""

from __future__ import annotations

from scoring.http.routes import decisions, features, health, models, pages, predict, rollouts

# Not one router that includes these: each level of nesting costs every request a search.
ROUTERS = (
    predict.router,
    models.read_router,
    models.router,
    features.router,
    decisions.router,
    rollouts.read_router,
    rollouts.router,
    health.router,
    health.scoped_router,
    pages.router,
)
