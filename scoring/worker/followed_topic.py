"""Notices that the feature log is another topic than at the start: deleted and created again.

The offsets that the scorer has committed and the places that it reads at are those of the old one.
Called by the watchdog's thread (``watchdog.py``).
"""

from __future__ import annotations

import logging
from typing import Final

from clients.errors import KafkaUnreachableError
from clients.topic_description import LogIdentity, TopicDescriptions

logger = logging.getLogger(__name__)


class FollowedTopic:
    """The topic that this process reads, by the id that Kafka gave it."""

    def __init__(self, bootstrap: str, topic: str) -> None:
        """Name the topic; the first `replacement` notes its id."""
        self._bootstrap: Final = bootstrap
        self._topic: Final = topic
        self._descriptions: TopicDescriptions | None = None
        self._followed: LogIdentity | None = None

    def replacement(self) -> str | None:
        """Say which topic has replaced the one of the first call; None if none has.

        Also None while the topic is missing or the broker does not answer. Blocks: about 20 s.
        """
        try:
            if self._descriptions is None:
                self._descriptions = TopicDescriptions(self._bootstrap, self._topic)
            found = self._descriptions.ask()[self._topic].identity
        except KafkaUnreachableError as error:
            logger.info("the broker did not say which topic %s is: %s", self._topic, error)
            return None
        if self._followed is None:
            self._followed = found
            logger.info("the watchdog follows %s", found)
        if found == self._followed:
            return None
        return (
            f"the topic {self._topic} was deleted and created again: it was the one with "
            f"{self._followed} and is now the one with {found}, whose offsets are other ones"
        )
