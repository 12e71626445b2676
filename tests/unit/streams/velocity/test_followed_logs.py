"""Which logs the state follows, and when the job must not go on."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from clients.topic_description import LogIdentity
from schemas.settings import Settings
from streams.velocity.cluster import checkpoints_dir, followed_logs_file, install_seed
from streams.velocity.followed_logs import StateOfOtherLogError, check_logs

LOGS = {"transactions": LogIdentity("c-1", "t-1"), "labels": LogIdentity("c-1", "t-2")}
NEW_CLUSTER = {name: log._replace(cluster_id="c-2") for name, log in LOGS.items()}
NEW_TOPIC = {**LOGS, "labels": LogIdentity("c-1", "t-3")}


def with_checkpoint(path: Path) -> Settings:
    settings = Settings(data_dir=path)
    checkpoint = checkpoints_dir(settings) / "job" / "chk-1"
    checkpoint.mkdir(parents=True)
    (checkpoint / "_metadata").write_bytes(b"")
    return settings


@pytest.mark.parametrize(
    ("found", "named"),
    [
        (NEW_CLUSTER, "topic transactions with topic id t-1 in the Kafka cluster c-1.*cluster c-2"),
        (NEW_TOPIC, "topic labels with topic id t-2 .* is now the one with topic id t-3"),
    ],
)
def test_state_of_another_log_is_refused_and_the_state_is_to_be_copied_first(
    tmp_path: Path, found: dict[str, LogIdentity], named: str
) -> None:
    settings = with_checkpoint(tmp_path)
    check_logs(settings, LOGS, is_running=False)
    check_logs(settings, LOGS, is_running=True)
    for is_running in (False, True):
        with pytest.raises(StateOfOtherLogError, match=named) as caught:
            check_logs(settings, found, is_running=is_running)
        assert "copy both to a safe place first" in str(caught.value)
    check_logs(settings, LOGS, is_running=True)


def test_a_running_job_has_state_before_its_first_checkpoint(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    check_logs(settings, LOGS, is_running=False)
    with pytest.raises(StateOfOtherLogError):
        check_logs(settings, NEW_CLUSTER, is_running=True)


def test_a_job_without_state_follows_whatever_there_is(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    check_logs(settings, LOGS, is_running=False)
    check_logs(settings, NEW_CLUSTER, is_running=False)
    with_checkpoint(tmp_path)
    check_logs(settings, NEW_CLUSTER, is_running=True)


def test_state_of_an_earlier_version_follows_the_present_logs_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_checkpoint(tmp_path)
    with caplog.at_level(logging.WARNING):
        check_logs(settings, LOGS, is_running=False)
    assert "does not say which logs it follows" in caplog.text
    with pytest.raises(StateOfOtherLogError):
        check_logs(settings, NEW_CLUSTER, is_running=False)


def test_a_backfill_puts_state_of_the_present_logs_in_place(tmp_path: Path) -> None:
    settings = with_checkpoint(tmp_path)
    check_logs(settings, LOGS, is_running=False)
    install_seed(settings, savepoint=tmp_path / "seed", next_offsets={})
    check_logs(settings, NEW_CLUSTER, is_running=False)
    assert followed_logs_file(settings).exists()
