"""What the routes of the API work with, as one value.

Built by `scoring.wiring` from adapters and by tests from fakes; routes read it and know
nothing of where it came from. Imports ports and the core only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from schemas.transaction import Limits
from scoring.api_metrics import ApiMetrics
from scoring.policy import Policy
from scoring.ports import FeatureReader, ModelSource


@dataclass(frozen=True, slots=True)
class ApiParts:
    """The parts of one application, alive from its start-up to its shutdown.

    Attributes:
        reader: stored entities and first decisions.
        models: which model scores.
        refused_models: the versions that were refused, with the reason of each.
        policy: the thresholds.
        limits: what a transaction may say.
        staleness_ms_max: age in ms above which reasons call stored state old.
        metrics: where requests are counted.
        registry: what GET /metrics shows; holds ``metrics``.
        now_ms: the clock, ms since 1970 UTC.
    """

    reader: FeatureReader
    models: ModelSource
    refused_models: Callable[[], Mapping[str, str]]
    policy: Policy
    limits: Limits
    staleness_ms_max: int
    metrics: ApiMetrics
    registry: CollectorRegistry
    now_ms: Callable[[], int]
