"""A model on logs with a wrong value: what each way to the champion is tried with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from typer.testing import CliRunner, Result

from clients.mlflow_rest import ModelVersion
from infra.cli.main import app
from infra.local.topics import create_topics
from schemas.feature_row import FeatureRow
from schemas.settings import Settings, environment_of
from tests.model_files import trained
from tests.services import unique_name
from training.registry.gate import PassedGate
from training.registry.register import ModelRegistry
from training.registry.versions import ModelVersions

REASON = "parity is not 0: feature_log has 1 mismatched"


def with_one_wrong_value(row: FeatureRow) -> FeatureRow:
    if row.transaction.transaction_id != "t77":
        return row
    return replace(row, features={**row.features, "user_amount_sum_1h": 1})


@dataclass(frozen=True)
class Deployment:
    """A model with a champion, on logs with a wrong value."""

    settings: Settings
    champion: str

    @property
    def versions(self) -> ModelVersions:
        return ModelVersions.from_settings(self.settings)

    @property
    def environment(self) -> dict[str, str]:
        return {**environment_of(self.settings), "COLUMNS": "300"}

    def weir(self, *arguments: str) -> Result:
        return CliRunner(env=self.environment).invoke(app, list(arguments))

    def is_unchanged(self) -> ModelVersion | None:
        """Check that the champion is what it was; give the newest version if there is another."""
        champion = self.versions.champion()
        assert champion is not None
        assert champion.version == self.champion
        newest = self.versions.all()[0]
        return None if newest.version == self.champion else newest

    def trains_a_refused_version(self) -> str:
        """Train on the log; give the version, which parity kept from being the champion."""
        assert self.weir("train", "--source", "log", "--keep-immature").exit_code == 1
        refused = self.is_unchanged()
        assert refused is not None
        return refused.version

    def starts_a_rollout(self) -> str:
        """Start a rollout of the version that parity refused; give its name."""
        refused = self.is_unchanged()
        assert refused is not None
        create_topics(self.settings.kafka_bootstrap, 1)
        name = unique_name("r")
        options = ("--strategy", "ab", "--challenger", refused.version)
        started = self.weir("rollout", "start", name, *options)
        assert started.exit_code == 0, started.output
        return name

    def refused_a_version(self) -> None:
        """Check that a version was registered that only parity kept from being the champion."""
        refused = self.is_unchanged()
        assert refused is not None
        assert refused.tags["status"] == "challenger"
        assert refused.tags["reason"].startswith(REASON)
        assert refused.aliases == (self.settings.challenger_alias,)


def deployed(wrong_logs: Settings, directory: Path) -> Deployment:
    """A model of its own, with a champion."""
    settings = wrong_logs.model_copy(
        update={"model_name": unique_name("model"), "data_dir": directory / "data"}
    )
    model = trained()
    registry = ModelRegistry(settings.mlflow_tracking_uri, model_name=settings.model_name)
    champion = registry.register(
        model.forest, model.files, params={}, metrics={}, tags={}, files={}
    ).version
    ModelVersions.from_settings(settings).promote(
        champion, gate=PassedGate(rows=1, values_checked=1), reason="a test"
    )
    return Deployment(settings, champion)
