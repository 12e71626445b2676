"""Formats the directory of the Kafka broker before its first start."""

import base64
import subprocess
import uuid

from infra.local.errors import StackError
from infra.local.jvm import kafka_java
from infra.local.layout import Layout

FORMAT_S_MAX = 120.0


def format_kafka(layout: Layout) -> None:
    """Format the broker's directory if it is not formatted; the configuration must be written.

    Raises:
        StackError: Kafka's tool failed; the message holds its output.
    """
    if (layout.kafka_data / "meta.properties").exists():
        return
    arguments = ("-t", new_cluster_id(), "-c", str(layout.run / "server.properties"))
    done = subprocess.run(
        [*kafka_java(layout), "kafka.tools.StorageTool", "format", *arguments],
        check=False,
        capture_output=True,
        text=True,
        timeout=FORMAT_S_MAX,
    )
    if done.returncode:
        raise StackError(f"Kafka's storage could not be formatted:\n{done.stdout}{done.stderr}")


def new_cluster_id() -> str:
    """A cluster id as Kafka makes it: 16 bytes in URL-safe base64 that do not begin with '-'."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
