"""Finds the registered version that a batch scoring uses, and checks it before any work.

Called by `run`.
"""

from pathlib import Path
from typing import NamedTuple

from clients.mlflow_rest import MlflowRest, ModelVersion
from models.artifact.files import read_files
from models.artifact.load import LoadedModel, load_model
from models.definition import ModelDefinition
from operations.batch_scoring.errors import NoModelToScoreWithError
from streams.batch_scoring.plan import MODEL_DIRECTORY


class FoundModel(NamedTuple):
    """A version that can score.

    Attributes:
        version: in the registry.
        loaded: from its files.
    """

    version: ModelVersion
    loaded: LoadedModel


def find_model(
    tracking_uri: str, definition: ModelDefinition, version: str, *, directory: Path
) -> FoundModel:
    """Find a version by number or alias, load it, and write its files for the parts.

    Args:
        tracking_uri: of MLflow.
        definition: of the model; a version that takes other columns is refused.
        version: number or alias.
        directory: of the run.

    Raises:
        ModelRegistryUnreachableError: MLflow does not answer.
        NoModelToScoreWithError: there is no such version or alias.
        ModelRefusedError: the version would not score as it did in training; one that was trained
            on other feature definitions is refused, too.
    """
    registry, name = MlflowRest(tracking_uri), definition.name
    found = (
        registry.get_version(model=name, version=version)
        if version.isdecimal()
        else registry.get_alias(model=name, alias=version)
    )
    if found is None:
        raise NoModelToScoreWithError(
            f"model {name} has no version or alias {version!r:.40}; `weir models list --model "
            f"{name}` names the versions, `weir train --model {name}` makes one"
        )
    of = f"model {name} version {found.version}"
    files = read_files(lambda path: registry.artifact(run_id=found.run_id, path=path), of=of)
    loaded = load_model(
        files,
        name=name,
        version=found.version,
        trees_digest=found.trees_digest,
        columns=definition.columns,
    )
    for path, content in files.by_path().items():
        file = directory / MODEL_DIRECTORY / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return FoundModel(found, loaded)
