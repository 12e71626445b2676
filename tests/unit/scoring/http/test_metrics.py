"""The metrics of the API, and which requests they count."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry

from scoring.http.metrics import API_METRICS, ApiMetrics, CountRequests, build_api_metrics
from scoring.metrics import METRICS


def test_every_metric_has_a_description_and_a_name_of_its_own() -> None:
    assert set(API_METRICS) == set(ApiMetrics._fields)
    names = [spec.name for spec in (*METRICS.values(), *API_METRICS.values())]
    assert len(names) == len(set(names))
    for spec in API_METRICS.values():
        assert spec.meaning.endswith(".")
        assert spec.action.endswith(".")


def test_every_metric_is_exported() -> None:
    registry = CollectorRegistry()
    build_api_metrics(registry)
    assert {family.name for family in registry.collect()} == {
        spec.name for spec in API_METRICS.values()
    }


def test_only_requests_are_counted() -> None:
    seen = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    asyncio.run(CountRequests(app)({"type": "lifespan"}, nothing, nothing))
    assert seen == [{"type": "lifespan"}]
