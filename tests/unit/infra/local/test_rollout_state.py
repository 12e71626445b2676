"""What `weir status` says of the active rollout."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from clients import probes
from infra.local.rollout_state import described, read_rollout
from schemas.settings import Settings
from scoring.http.answers.health import READY_EXAMPLE
from scoring.metrics import build_metrics

ROLLOUT = READY_EXAMPLE.model_dump(mode="json")["rollout"]


def page(**loaded: int) -> str:
    registry = CollectorRegistry()
    metrics = build_metrics(registry)
    for rollout, arms in (("v8", loaded), ("v7", {"challenger": 1})):
        for arm, value in arms.items():
            metrics.rollout_arm_loaded.labels(rollout, arm, "1").set(value)
    return generate_latest(registry).decode()


def test_the_active_rollout_is_told_with_the_versions_that_each_process_has() -> None:
    refused = {**ROLLOUT["arms"][1], "loaded": False, "refused": ["GoldenRowsMismatchError: row 3"]}
    assert described({**ROLLOUT, "arms": [ROLLOUT["arms"][0], refused]}, page(control=1)) == [
        "rollout v8: canary, running, stage 1, shares control 0.95, challenger 0.05; "
        "`weir rollout status v8` says why",
        "api: control version 3 is loaded, challenger version 8 is refused "
        "(GoldenRowsMismatchError: row 3)",
        "scorer: control version 3 is loaded, challenger version 8 is not loaded",
    ]
    assert described(ROLLOUT, None)[1:] == [
        "api: control version 3 is loaded, challenger version 8 is loaded"
    ]


@pytest.mark.parametrize(
    ("answer", "begins"),
    [
        (None, []),
        ({"rollout": None}, []),
        ({"rollout": ROLLOUT}, ["rollout v8", "api: ", "scorer"]),
    ],
)
def test_nothing_is_told_without_a_rollout_or_an_answer(
    monkeypatch: pytest.MonkeyPatch, answer: Any, begins: list[str]
) -> None:
    monkeypatch.setattr(probes, "get_json", lambda *_, **__: answer)
    monkeypatch.setattr(probes, "get_text", lambda _: page(control=1, challenger=1))
    told = read_rollout(Settings(worker_metrics_port=9_999))
    assert [line[: len(begin)] for line, begin in zip(told, begins, strict=True)] == begins
