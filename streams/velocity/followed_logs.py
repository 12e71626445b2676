"""Which logs the velocity job's state follows: the ids of its input topics, noted beside the state.

The state holds offsets, which mean other records in another log: a new broker after a lost disk, or
a topic that was deleted and created again. The job would skip the new log up to these offsets. Only
``keep_running.py`` calls this; it asks the broker.
"""

import json
import logging
from collections.abc import Mapping

from clients.topic_description import LogIdentity
from schemas.errors import WeirError
from schemas.settings import Settings
from streams.velocity.cluster import checkpoints_dir, choose_start, followed_logs_file

log = logging.getLogger(__name__)

LogIdentities = Mapping[str, LogIdentity]
"""By topic, which log it is."""


class StateOfOtherLogError(WeirError):
    """The state follows another log than the present one. The message says what to do."""


def check_logs(settings: Settings, found: LogIdentities, *, is_running: bool) -> None:
    """Refuse other logs than the state follows; note the present ones if there is no state yet.

    State without a note is of an earlier version or of a backfill, which has compared the archive
    with the logs. It follows the present logs from now on.

    Args:
        settings: of the deployment.
        found: the input topics as they are now.
        is_running: whether the job runs; then it has state, even without a checkpoint.

    Raises:
        StateOfOtherLogError: the ids of a topic differ.
    """
    noted = _noted(settings)
    if noted == found:
        return
    has_state = is_running or choose_start(settings).restore_from is not None
    if has_state and noted is not None:
        raise StateOfOtherLogError(_refusal(settings, noted, found))
    if has_state:
        log.warning("the job's state does not say which logs it follows: from now on %s", found)
    file = followed_logs_file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    ids = {topic: identity._asdict() for topic, identity in found.items()}
    # Renamed into place, so that a crash leaves no half of it.
    half = file.with_suffix(".new")
    half.write_text(json.dumps(ids, indent=1) + "\n", encoding="utf-8")
    half.replace(file)


def _noted(settings: Settings) -> LogIdentities | None:
    file = followed_logs_file(settings)
    if not file.exists():
        return None
    written = json.loads(file.read_text(encoding="utf-8"))
    return {topic: LogIdentity(**ids) for topic, ids in written.items()}


def _refusal(settings: Settings, noted: LogIdentities, found: LogIdentities) -> str:
    directory = checkpoints_dir(settings).parent
    topic = next(topic for topic in found if noted.get(topic) != found[topic])
    return (
        f"the velocity job's state in {directory} follows the topic {topic} with "
        f"{noted.get(topic)}, but the topic at {settings.kafka_bootstrap} is now the one with "
        f"{found[topic]}: other records have the offsets in this state, and the job would skip "
        "those before them. If the log that it follows is lost, this state and the archive are the "
        "only copies of its histories: copy both to a safe place first. Then choose: point "
        "WEIR_KAFKA_BOOTSTRAP at the log that the state follows; or move "
        f"{directory} to another place, and the job computes every row from the beginning of the "
        "present topics"
    )
