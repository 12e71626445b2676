"""From which state a job starts, and when it refuses to start."""

import os
from pathlib import Path

import pytest

from features.definitions import DEFINITION_DIGEST
from schemas.settings import Settings
from streams.velocity.cluster import (
    DefinitionsChangedError,
    EngineOperator,
    Start,
    StateLayoutError,
    check_state,
    checkpoints_dir,
    choose_start,
    engine_operators,
    install_seed,
    newest_checkpoint,
    stored_digest,
)


def checkpoint(root: Path, name: str, *, written_s: int, is_complete: bool = True) -> Path:
    path = root / name
    path.mkdir(parents=True)
    if is_complete:
        (path / "_metadata").write_bytes(b"")
        os.utime(path / "_metadata", (written_s, written_s))
    return path


def test_no_checkpoint_means_the_beginning_of_the_topics(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "never-made") is None


def test_the_newest_complete_checkpoint_is_taken_regardless_of_its_number(tmp_path: Path) -> None:
    checkpoint(tmp_path, "old-job/chk-900", written_s=1_000)
    newest = checkpoint(tmp_path, "new-job/chk-2", written_s=2_000)
    checkpoint(tmp_path, "new-job/chk-3", written_s=3_000, is_complete=False)
    assert newest_checkpoint(tmp_path) == newest


def test_state_of_other_definitions_is_refused_with_instructions(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    check_state(settings)
    check_state(settings)
    noted = checkpoints_dir(settings).parent / "definition-digest"
    assert noted.read_text().strip() == DEFINITION_DIGEST
    noted.write_text("of-last-year\n")
    with pytest.raises(DefinitionsChangedError, match=r"of-last-year.*weir backfill.*move"):
        check_state(settings)


def test_one_task_has_one_operator_and_more_tasks_have_one_for_each_entity() -> None:
    assert engine_operators(Settings(flink_parallelism=1)) == (EngineOperator("engine", 0, 2),)
    assert engine_operators(Settings(flink_parallelism=2)) == (
        EngineOperator("engine-0", 0, 1),
        EngineOperator("engine-1", 1, 2),
    )


@pytest.mark.parametrize(("before", "after"), [(1, 2), (3, 1)])
def test_state_of_another_split_is_refused_with_instructions(
    tmp_path: Path, before: int, after: int
) -> None:
    check_state(Settings(data_dir=tmp_path, flink_parallelism=before))
    settings = Settings(data_dir=tmp_path, flink_parallelism=after)
    checkpoint(checkpoints_dir(settings), "job/chk-1", written_s=1_000)
    with pytest.raises(StateLayoutError, match=r"WEIR_FLINK_PARALLELISM.*back.*move .*flink"):
        check_state(settings)
    check_state(Settings(data_dir=tmp_path, flink_parallelism=before))


def test_more_tasks_continue_with_state_of_the_same_split(tmp_path: Path) -> None:
    check_state(Settings(data_dir=tmp_path, flink_parallelism=2))
    checkpoint(tmp_path / "flink" / "checkpoints", "job/chk-1", written_s=1_000)
    check_state(Settings(data_dir=tmp_path, flink_parallelism=3))


def test_state_without_a_note_of_its_layout_is_of_an_earlier_version_and_refused(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    check_state(settings)
    layout = tmp_path / "flink" / "state-layout"
    layout.unlink()
    checkpoint(checkpoints_dir(settings), "job/chk-1", written_s=1_000)
    with pytest.raises(StateLayoutError, match=r"earlier version.*move .*from the topics"):
        check_state(settings)
    assert not layout.exists()


def test_a_layout_without_state_binds_nobody(tmp_path: Path) -> None:
    check_state(Settings(data_dir=tmp_path, flink_parallelism=1))
    check_state(Settings(data_dir=tmp_path, flink_parallelism=2))


def test_a_seed_has_the_layout_of_the_job_that_it_is_for(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, flink_parallelism=2)
    install_seed(settings, savepoint=tmp_path / "seed", next_offsets={})
    check_state(settings)
    with pytest.raises(StateLayoutError):
        check_state(Settings(data_dir=tmp_path, flink_parallelism=1))


def test_a_job_starts_from_its_checkpoint_then_from_a_seed_then_from_the_beginning(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    assert choose_start(settings) == Start()
    savepoint = tmp_path / "flink" / "seed"
    install_seed(settings, savepoint=savepoint, next_offsets={"labels": {0: 7}})
    assert choose_start(settings) == Start(savepoint.resolve().as_uri(), {"labels": {0: 7}})
    newest = checkpoint(checkpoints_dir(settings), "job/chk-1", written_s=1_000)
    assert choose_start(settings) == Start(newest.resolve().as_uri())


def test_a_seed_renames_the_old_checkpoints_and_lets_the_job_start(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    check_state(settings)
    checkpoint(checkpoints_dir(settings), "job/chk-1", written_s=1_000)
    noted = checkpoints_dir(settings).parent / "definition-digest"
    for _ in range(2):  # the second run is a repeat after a kill before the digest was written
        noted.write_text("of-last-year\n")
        install_seed(settings, savepoint=tmp_path / "seed", next_offsets={})
        check_state(settings)
        assert stored_digest(settings) == DEFINITION_DIGEST
        assert list(checkpoints_dir(settings).iterdir()) == []
        kept = checkpoints_dir(settings).with_name("checkpoints-of-last-year")
        assert (kept / "job" / "chk-1" / "_metadata").exists()


def test_a_seed_of_other_definitions_is_ignored(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    install_seed(settings, savepoint=tmp_path / "seed", next_offsets={})
    seed = checkpoints_dir(settings).parent / "seed.json"
    seed.write_text(seed.read_text().replace(DEFINITION_DIGEST, "of-last-year"))
    assert choose_start(settings) == Start()
