"""The table of programs: who needs what, and in which order."""

import os
from pathlib import Path

import pytest

from infra.local import class_archives, jvm
from infra.local import programs as table
from infra.local.layout import Layout
from infra.local.programs import ENGINES, OURS, STORES, Program
from schemas.settings import Settings


def by_name(layout: Layout, settings: Settings | None = None) -> dict[str, Program]:
    return {program.name: program for program in table.programs(settings or Settings(), layout)}


def test_stores_come_before_engines_before_our_own_programs(layout: Layout) -> None:
    stages = [program.stage for program in table.programs(Settings(), layout)]
    assert stages == sorted(stages)
    assert set(stages) == {STORES, ENGINES, OURS}


def test_two_stacks_with_other_ports_share_no_port(layout: Layout) -> None:
    mine = {p.number for program in by_name(layout).values() for p in program.ports}
    other_settings = Settings(
        kafka_port=19092,
        redis_port=16379,
        mlflow_port=15000,
        flink_rest_port=18081,
        flink_rpc_port=16123,
        api_port=18000,
    )
    other = {
        p.number for program in by_name(layout, other_settings).values() for p in program.ports
    }
    assert mine.isdisjoint(other)
    assert len(other) == len(mine) == 7


def test_every_port_names_the_setting_that_moves_it(layout: Layout) -> None:
    names = {f"WEIR_{name.upper()}" for name in Settings.model_fields}
    for program in by_name(layout).values():
        for port in program.ports:
            assert port.setting.split()[0] in names


def test_what_reads_topics_waits_for_the_broker(layout: Layout) -> None:
    settings = Settings(kafka_port=19092)
    for name in ("velocity-job", "scorer"):
        assert "kafka=127.0.0.1:19092" in by_name(layout, settings)[name].needs


def test_flink_gets_the_module_openings_that_ship_with_it(layout: Layout) -> None:
    command = by_name(layout)["taskmanager"].command
    assert "--add-exports=a/b=ALL-UNNAMED" in command
    assert "--add-opens=c/d=e" in command


@pytest.mark.parametrize("name", jvm.JVM_PROGRAMS)
def test_a_jvm_reads_its_class_archive_only_if_there_is_one(layout: Layout, name: str) -> None:
    archive = jvm.class_archive(layout, name)
    option = f"-XX:SharedArchiveFile={archive}"
    assert option not in by_name(layout)[name].command
    archive.parent.mkdir(parents=True)
    archive.touch()
    command = by_name(layout)[name].command
    assert command.index(option) < command.index("-cp")


def test_what_makes_the_archives_is_what_later_runs(layout: Layout) -> None:
    for name in jvm.JVM_PROGRAMS:
        program = by_name(layout)[name]
        archiving = class_archives._archiving(program, Path("a.jsa"))
        java, option, *rest = archiving.command
        assert (java, *rest) == program.command
        assert option == "-XX:ArchiveClassesAtExit=a.jsa"


def test_the_client_jvm_keeps_its_scratch_files_in_the_data_directory(layout: Layout) -> None:
    options = by_name(layout)["velocity-job"].environment["FLINK_ENV_JAVA_OPTS"].split()
    assert f"-Djava.io.tmpdir={layout.tmp / 'client'}" in options
    assert "--add-opens=c/d=e" in options


def test_redis_of_the_system_goes_before_our_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, layout: Layout
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert table.redis_server(layout) == str(layout.repo / ".tools" / "bin" / "redis-server")
    binary = tmp_path / "redis-server"
    binary.touch(mode=0o755)
    assert os.access(binary, os.X_OK)
    assert table.redis_server(layout) == str(binary)
