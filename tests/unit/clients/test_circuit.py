"""The circuit breaker: when a service is called, and when not."""

from __future__ import annotations

import pytest

from clients.circuit import CircuitBreaker
from clients.errors import ModelRegistryUnreachableError
from clients.mlflow_rest import MlflowRest

OPEN_MS = 100.0


class Bench:
    def __init__(self, *, failures_max: int = 1) -> None:
        self.now_ms = 0.0
        self.circuit = CircuitBreaker(
            open_ms=OPEN_MS, clock_ms=lambda: self.now_ms, failures_max=failures_max
        )


def test_failures_in_a_row_open_the_circuit_for_a_while() -> None:
    bench = Bench(failures_max=2)
    assert [bench.circuit.failed(), bench.circuit.is_open] == [False, False]
    assert [bench.circuit.failed(), bench.circuit.may_call()] == [True, False]
    bench.now_ms = OPEN_MS - 1
    assert not bench.circuit.may_call()
    bench.now_ms = OPEN_MS
    assert bench.circuit.may_call()


def test_one_call_tries_and_the_others_wait_for_its_outcome() -> None:
    bench = Bench()
    bench.circuit.failed()
    bench.now_ms = OPEN_MS
    assert [bench.circuit.may_call(), bench.circuit.may_call()] == [True, False]
    bench.circuit.succeeded()
    assert [bench.circuit.may_call(), bench.circuit.may_call()] == [True, True]


def test_a_registry_that_does_not_answer_is_not_asked_again_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bench = Bench()
    registry = MlflowRest("http://127.0.0.1:1", circuit=bench.circuit)
    with pytest.raises(ModelRegistryUnreachableError, match="refused"):
        registry.check_reachable()
    with pytest.raises(ModelRegistryUnreachableError, match="not asked for 100 ms after a failure"):
        registry.check_reachable()
    bench.now_ms = OPEN_MS
    monkeypatch.setattr(registry, "_sent", lambda *_, **__: (200, b"OK"))
    registry.check_reachable()
    assert bench.circuit.may_call()
