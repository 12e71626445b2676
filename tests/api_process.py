"""The API as a process of its own, with its log and its address."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from schemas.settings import Settings, environment_of

REPO = Path(__file__).parents[1]
WITHIN_S = 60
"""How long a busy machine may take to start or to stop the process."""


class ApiProcess:
    """One running API, with its log."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.settings = settings
        self.log = log
        self.address = f"http://{settings.api_host}:{settings.api_port}"
        with log.open("wb") as out:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "scoring.http"],
                cwd=REPO,
                env={**os.environ, **environment_of(settings)},
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def is_live(self) -> bool:
        assert self.popen.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.address}/health").status_code == 200
        except httpx.TransportError:
            return False

    def is_shutting_down(self) -> bool:
        return "Shutting down" in self.log.read_text()

    def connect(self) -> socket.socket:
        return socket.create_connection(
            (self.settings.api_host, self.settings.api_port), timeout=WITHIN_S
        )

    def send(self, data: bytes) -> bytes:
        """Send bytes as they are and give all that comes back until the server hangs up."""
        with self.connect() as connection:
            connection.sendall(data)
            return read_all(connection)


def read_all(connection: socket.socket) -> bytes:
    received = b""
    while part := connection.recv(65_536):
        received += part
    return received
