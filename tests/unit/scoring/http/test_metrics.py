"""The list of the API's metrics is what is counted."""

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


def test_the_page_has_every_metric() -> None:
    registry = CollectorRegistry()
    build_api_metrics(registry)
    assert {family.name for family in registry.collect()} == {
        spec.name for spec in API_METRICS.values()
    }


def test_what_is_no_request_passes_uncounted() -> None:
    seen = []

    async def app(scope: object, receive: object, send: object) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    asyncio.run(CountRequests(app)({"type": "lifespan"}, nothing, nothing))
    assert seen == [{"type": "lifespan"}]
