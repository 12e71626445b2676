"""The paths of one stack.

The checkout holds the environments and the downloads, which all stacks share. One data directory
holds everything else of a stack. Nothing is written outside these two.
"""

from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
"""The checkout from which this module was imported."""

UNIX_SOCKET_PATH_BYTES_MAX = 107
"""Linux keeps the path of a socket in 108 bytes, of which the last one is zero."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The absolute paths of one stack.

    Args:
        repo: the checkout, absolute.
        data_dir: the directory of the stack, absolute; created with the configuration files.
    """

    repo: Path
    data_dir: Path

    @property
    def python(self) -> Path:
        """Python of the services environment."""
        return self.repo / ".venv" / "bin" / "python"

    @property
    def streams_python(self) -> Path:
        """Python of the Flink environment."""
        return self.repo / ".venv-streams" / "bin" / "python"

    @property
    def streams_site_packages(self) -> Path:
        """Installed packages of the Flink environment."""
        return self.repo / ".venv-streams" / "lib" / "python3.11" / "site-packages"

    @property
    def flink_home(self) -> Path:
        """The Flink distribution inside the apache-flink wheel."""
        return self.streams_site_packages / "pyflink"

    @property
    def flink_lib(self) -> Path:
        """Flink's jars plus flink-python, the Kafka connector and our own glue."""
        return self.repo / ".cache" / "flink-lib"

    @property
    def kafka_libs(self) -> Path:
        """The Kafka broker's jars."""
        return self.repo / ".cache" / "kafka" / "libs"

    @property
    def class_archives(self) -> Path:
        """One archive of loaded classes for each JVM program, if it was written."""
        return self.repo / ".cache" / "classes"

    @property
    def run(self) -> Path:
        """Configuration files, pid file and socket; written at every start."""
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        """One log file for each program."""
        return self.data_dir / "logs"

    @property
    def tmp(self) -> Path:
        """Scratch directories of the Flink processes; emptied when these start."""
        return self.data_dir / "tmp"

    @property
    def flink_conf(self) -> Path:
        """``FLINK_CONF_DIR``."""
        return self.run / "flink"

    @property
    def checkpoints(self) -> Path:
        """Flink's retained checkpoints."""
        return self.data_dir / "flink" / "checkpoints"

    @property
    def savepoints(self) -> Path:
        """Flink's savepoints."""
        return self.data_dir / "flink" / "savepoints"

    @property
    def kafka_data(self) -> Path:
        """The broker's logs: the ground state."""
        return self.data_dir / "kafka"

    @property
    def redis_data(self) -> Path:
        """Redis' append-only file."""
        return self.data_dir / "redis"

    @property
    def mlflow_data(self) -> Path:
        """MLflow's database and artifacts."""
        return self.data_dir / "mlflow"

    @property
    def supervisor_conf(self) -> Path:
        """The configuration file of supervisord."""
        return self.run / "supervisord.conf"

    @property
    def supervisor_socket(self) -> Path:
        """The socket through which supervisord is controlled."""
        return self.run / "supervisor.sock"

    @property
    def settings_in_force(self) -> Path:
        """The settings with which the stack was started, as ``WEIR_*`` variables in JSON."""
        return self.run / "settings.json"

    @property
    def supervisor_pid(self) -> Path:
        """The file with supervisord's process id."""
        return self.run / "supervisord.pid"

    def log(self, program: str) -> Path:
        """The log file of one program."""
        return self.logs / f"{program}.log"
