"""The parity gate, and the only way to make a version the champion.

Nothing else moves the champion alias to a new version, which a house test checks: `weir train`,
`weir models promote`, the demo and the DAG for Airflow all end here. `weir models rollback` goes
back to a version that passed the gate when it was promoted, and does not ask again.
"""

from dataclasses import dataclass
from typing import TypeAlias

from clients.mlflow_rest import ModelVersion
from operations.parity.report import describe_parity_failure
from operations.parity.run import run_parity
from schemas.errors import RetryableError
from schemas.settings import Settings
from training.errors import OtherLogError
from training.registry.gate import PassedGate
from training.registry.versions import ModelVersions


@dataclass(frozen=True, slots=True)
class ClosedGate:
    """No version becomes the champion now.

    Attributes:
        reason: which copies of the features differ, or why parity could not be established.
        cause: the service that did not answer; None if another try would not help.
    """

    reason: str
    cause: RetryableError | None = None


Gate: TypeAlias = PassedGate | ClosedGate

BY_HAND = "promoted by hand"


def ask_gate(settings: Settings) -> Gate:
    """Run parity on every surface, and say whether a version may become the champion.

    Blocks: about 200 µs of one core for each transaction in the logs, besides reading Kafka.

    Args:
        settings: where logs, Redis, archive and registry are.

    Returns:
        `PassedGate` if values were compared and none differed, is missing or is extra.

    Raises:
        OtherDefinitionsError: the log follows other feature definitions.
    """
    try:
        report = run_parity(settings)
    except RetryableError as error:
        return ClosedGate(f"parity could not be established: {error}", cause=error)
    except OtherLogError as error:
        return ClosedGate(f"parity could not be established: {error}")
    failure = describe_parity_failure(report)
    if failure is not None:
        return ClosedGate(f"parity is not 0: {failure}")
    if report.feature_log.rows == 0:
        return ClosedGate(
            f"parity could not be established: the feature log at {settings.kafka_bootstrap} "
            "has no rows to compare"
        )
    return PassedGate(rows=report.feature_log.rows, values_checked=report.checked)


def gate_of_comparison(*, rows: int, values_checked: int, different: int, first: str) -> Gate:
    """Say whether a version may become the champion whose features are not those of the logs.

    Its owner compares what its online store holds with what the version was fitted on. A version of
    features of the logs asks `ask_gate`.

    Args:
        rows: how many were compared.
        values_checked: of all rows together.
        different: how many values differ, or are missing.
        first: the first of them, for people.
    """
    if different:
        return ClosedGate(f"{different} of {values_checked} stored values differ, first {first}")
    if rows < 1 or values_checked < 1:
        return ClosedGate("no stored values could be compared")
    return PassedGate(rows=rows, values_checked=values_checked)


def promote_version(
    settings: Settings, version: str, *, gate: PassedGate, reason: str
) -> ModelVersion | None:
    """Make a version the champion; the scorer follows within seconds.

    Args:
        settings: where MLflow is, and what the model and its aliases are called.
        version: its number.
        gate: what `ask_gate` gave.
        reason: why, kept as a tag.

    Returns:
        The champion until then, now archived; None if there was none, or it was this version.

    Raises:
        NoSuchVersionError: there is none of this number.
        OtherDefinitionsVersionError: the scorer would refuse it.
        ModelRegistryUnreachableError: MLflow does not answer; the champion is unchanged unless
            the alias had moved already.
    """
    return ModelVersions.from_settings(settings).promote(version, gate=gate, reason=reason)


@dataclass(frozen=True, slots=True)
class Promoted:
    """A version is the champion now.

    Attributes:
        version: its number.
        before: the champion until then, now archived; None if there was none, or it was this one.
    """

    version: str
    before: ModelVersion | None


def promote_by_hand(
    settings: Settings, version: str, *, deployment: Settings | None = None
) -> Promoted | ClosedGate:
    """Ask the gate, then make a version the champion; its figures are not compared.

    Args:
        settings: as for `promote_version`.
        version: its number; looked up before the gate is asked.
        deployment: whose parity is the gate, if `settings` are those of a model of users.

    Raises:
        NoSuchVersionError: there is none of this number.
        OtherDefinitionsVersionError: the scorer would refuse it.
        OtherDefinitionsError: the log follows other feature definitions.
        ModelRegistryUnreachableError: MLflow does not answer.
    """
    ModelVersions.from_settings(settings).get(version)
    gate = ask_gate(deployment or settings)
    if isinstance(gate, ClosedGate):
        return gate
    return Promoted(version, promote_version(settings, version, gate=gate, reason=BY_HAND))
