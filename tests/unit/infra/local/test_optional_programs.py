"""The programs that a stack has if asked for."""

from __future__ import annotations

from infra.local.layout import Layout
from infra.local.optional_programs import optional_programs, predictions_address
from infra.local.programs import Program, programs
from schemas.settings import Settings


def by_name(layout: Layout, settings: Settings) -> dict[str, Program]:
    return {program.name: program for program in optional_programs(settings, layout)}


def test_none_of_them_is_started_with_the_others(layout: Layout) -> None:
    settings = Settings()
    others = {program.name for program in programs(settings, layout)}
    assert others.isdisjoint(by_name(layout, settings))


def test_postgres_listens_on_loopback_alone_and_keeps_what_it_has_confirmed(
    layout: Layout,
) -> None:
    command = by_name(layout, Settings(postgres_port=15432))["postgres"].command
    assert "--listen_addresses=127.0.0.1" in command
    assert "--port=15432" in command
    assert "--unix_socket_directories=" in command
    assert not [word for word in command if "fsync" in word or "synchronous_commit" in word]


def test_the_address_holds_no_password_but_says_where_it_is(layout: Layout) -> None:
    address = predictions_address(Settings(postgres_port=15432), layout)
    assert address == (
        f"postgresql://weir@127.0.0.1:15432/weir?passfile={layout.data_dir}/postgres.pass"
    )


def test_the_taskmanager_for_batch_jobs_has_its_own_slots_and_scratch(layout: Layout) -> None:
    settings = Settings(batch_slots=3)
    program = by_name(layout, settings)["batch"]
    assert "taskmanager.numberOfTaskSlots=3" in program.command
    # Ready is not that any TaskManager has registered, but that this one has.
    assert "taskmanager.resource-id=batch" in program.command
    assert program.ready.endswith("/taskmanagers/batch")
    live = next(each for each in programs(settings, layout) if each.name == "taskmanager")
    assert set(program.clean).isdisjoint(live.clean)
