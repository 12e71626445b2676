"""MLflow's tracking server and registry, in one process.

The command `mlflow server` imports MLflow, sets variables, and starts a second Python that imports
it again, which costs six seconds of CPU. This module sets the same variables and serves from the
same process. Supervisord runs it:

    python -m infra.local.mlflow_server DATA_DIR PORT
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

PROXIED_ARTIFACTS = "mlflow-artifacts:/"
"""Artifact root of new experiments, with which clients send artifacts through the server."""
NICENESS = 10
"""Low priority, so that decisions go first; the scorer asks it every two seconds, in a thread."""


def main(argv: Sequence[str]) -> None:
    """Serve on the loopback interface until told to stop.

    Args:
        argv: directory of the database and the artifacts, and the port.
    """
    data_dir, port = Path(argv[0]), int(argv[1])
    os.nice(NICENESS)
    database = f"sqlite:///{data_dir / 'mlflow.db'}"
    os.environ.update(server_environment(data_dir, port=port))
    # Imported here, because MLflow reads these variables when it is imported.
    from mlflow.server import handlers  # noqa: PLC0415

    handlers.initialize_backend_stores(database, database, PROXIED_ARTIFACTS)
    uvicorn.run(
        "mlflow.server.fastapi_app:app", host="127.0.0.1", port=port, workers=1, access_log=False
    )


def server_environment(data_dir: Path, *, port: int) -> dict[str, str]:
    """The variables that `mlflow server` sets; a test compares them with MLflow's constants."""
    database = f"sqlite:///{data_dir / 'mlflow.db'}"
    return {
        "_MLFLOW_SERVER_FILE_STORE": database,
        "_MLFLOW_SERVER_REGISTRY_STORE": database,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": PROXIED_ARTIFACTS,
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(data_dir / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "_MLFLOW_SGI_NAME": "uvicorn",
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port},localhost:{port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


if __name__ == "__main__":
    main(sys.argv[1:])
