"""What opens the parity gate, and that nothing is promoted while it is closed."""

from __future__ import annotations

from typing import Any

import pytest

from clients.errors import KafkaUnreachableError
from operations import promotion
from operations.parity.recomputation.audit import OtherDefinitionsError
from operations.parity.report import FeatureLogReport, ParityReport, SurfaceReport
from operations.promotion import ClosedGate, Promoted, ask_gate, promote_by_hand
from schemas.settings import Settings
from training.errors import NoSuchVersionError, OtherLogError
from training.registry.gate import PassedGate

CLEAN = FeatureLogReport(rows=2, checked=52)
SETTINGS = Settings()


class Registry:
    """Stands for `ModelVersions`; knows versions 1 and 2, the champion is 1."""

    def __init__(self) -> None:
        self.champion = "1"
        self.gates: list[PassedGate] = []

    def get(self, version: str) -> str:
        if version not in ("1", "2"):
            raise NoSuchVersionError(f"no version {version}")
        return version

    def promote(self, version: str, *, gate: PassedGate, reason: str) -> None:
        self.champion = version
        self.gates.append(gate)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry()

    class Versions:
        @staticmethod
        def from_settings(_: Settings) -> Registry:
            return registry

    monkeypatch.setattr(promotion, "ModelVersions", Versions)
    return registry


def parity_finds(monkeypatch: pytest.MonkeyPatch, found: ParityReport | Exception) -> None:
    def run_parity(_: Settings) -> ParityReport:
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(promotion, "run_parity", run_parity)


def test_the_gate_opens_when_values_were_compared_and_none_differs(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    surfaces = {"decisions": SurfaceReport(checked=8, newer=3, repeats=1)}
    parity_finds(monkeypatch, ParityReport(CLEAN, surfaces))
    assert ask_gate(SETTINGS) == PassedGate(rows=2, values_checked=60)
    assert promote_by_hand(SETTINGS, "2") == Promoted("2", None)
    assert registry.champion == "2"
    assert registry.gates == [PassedGate(rows=2, values_checked=60)]


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (
            ParityReport(FeatureLogReport(rows=2, checked=52, mismatched=1), {}),
            "parity is not 0: feature_log has 1 mismatched",
        ),
        (
            ParityReport(FeatureLogReport(rows=2, checked=52, gaps=1), {}),
            "parity is not 0: feature_log has 1 gaps",
        ),
        (
            ParityReport(CLEAN, {"decisions": SurfaceReport(missing=4)}),
            "parity is not 0: decisions has 4 missing",
        ),
        (
            ParityReport(CLEAN, {"online_users": SurfaceReport(extra=2)}),
            "parity is not 0: online_users has 2 extra",
        ),
        (
            ParityReport(FeatureLogReport(), {"decisions": SurfaceReport()}),
            "the feature log at 127.0.0.1:9092 has no rows to compare",
        ),
        (
            KafkaUnreachableError("Kafka does not answer"),
            "parity could not be established: Kafka does not answer",
        ),
        (
            OtherLogError("the archive table features follows another log"),
            "parity could not be established: the archive table features follows another log",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_closed_gate_names_the_reason_and_the_champion_stays(
    monkeypatch: pytest.MonkeyPatch, registry: Registry, found: Any, reason: str
) -> None:
    parity_finds(monkeypatch, found)
    gate = promote_by_hand(SETTINGS, "2")
    assert isinstance(gate, ClosedGate)
    assert reason in gate.reason
    assert registry.champion == "1"


def test_a_version_that_does_not_exist_is_refused_before_parity_runs(registry: Registry) -> None:
    with pytest.raises(NoSuchVersionError):
        promote_by_hand(SETTINGS, "99")


def test_logs_of_other_definitions_are_an_error_and_the_champion_stays(
    monkeypatch: pytest.MonkeyPatch, registry: Registry
) -> None:
    parity_finds(monkeypatch, OtherDefinitionsError("run `weir backfill` first"))
    with pytest.raises(OtherDefinitionsError):
        promote_by_hand(SETTINGS, "2")
    assert registry.champion == "1"


@pytest.mark.parametrize(("rows", "values_checked"), [(0, 0), (0, 5), (3, 0)])
def test_comparing_nothing_is_no_evidence(rows: int, values_checked: int) -> None:
    with pytest.raises(ValueError, match="must both be at least 1"):
        PassedGate(rows=rows, values_checked=values_checked)
