"""Damages a record in the files of the broker, which does not notice."""

from __future__ import annotations

import pytest

from tests.services import Services


def damage(kafka: Services, topic: str, text: bytes) -> None:
    """Change a byte of the first occurrence of ``text`` in partition 0 of a topic.

    Skips the test where the broker's files are in a container.
    """
    directory = kafka.settings.data_dir / "kafka"
    if not directory.is_dir():
        pytest.skip("Kafka's files are in a container")
    with (directory / f"{topic}-0" / f"{0:020}.log").open("r+b") as file:
        at = file.read().index(text)
        file.seek(at)
        file.write(bytes([text[0] ^ 1]))
