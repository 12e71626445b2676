"""MLflow's tracking server and registry, in one process.

The command `mlflow server` imports MLflow, sets variables, and starts a second Python that imports
it again: six seconds of CPU for nothing. This module sets the same variables and serves from the
same process. It knows where the data lies and nothing of what is tracked.

    python -m infra.local.mlflow_server DATA_DIR PORT
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

PROXIED_ARTIFACTS = "mlflow-artifacts:/"
"""Artifact root of new experiments: clients send artifacts through the server."""
NICENESS = 10
"""Its answers can wait for decisions: the scorer asks it every two seconds, in a thread."""


def main(argv: Sequence[str]) -> None:
    """Serve on the loopback interface until told to stop.

    Args:
        argv: directory of database and artifacts, port.
    """
    data_dir, port = Path(argv[0]), int(argv[1])
    os.nice(NICENESS)
    database = f"sqlite:///{data_dir / 'mlflow.db'}"
    os.environ.update(server_environment(data_dir, port=port))
    # Imported late: MLflow reads these variables while it is imported.
    from mlflow.server import handlers  # noqa: PLC0415

    handlers.initialize_backend_stores(database, database, PROXIED_ARTIFACTS)
    uvicorn.run(
        "mlflow.server.fastapi_app:app", host="127.0.0.1", port=port, workers=1, access_log=False
    )


def server_environment(data_dir: Path, *, port: int) -> dict[str, str]:
    """What `mlflow server` would set; a test compares the names with MLflow's own constants."""
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
