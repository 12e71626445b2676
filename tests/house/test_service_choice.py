"""Whether the tests' Kafka and Redis are containers: said, or found out by asking the engine."""

import pytest

from tests.services import wants_containers


def never_asked() -> bool:
    raise AssertionError("the engine must not be asked")


@pytest.mark.parametrize("answers", [True, False])
def test_without_a_choice_the_engine_decides(answers: bool) -> None:
    assert wants_containers(None, lambda: answers) is answers


def test_local_never_asks_the_engine() -> None:
    assert not wants_containers("local", never_asked)


def test_containers_without_an_engine_is_an_error_not_a_fall_back() -> None:
    assert wants_containers("containers", lambda: True)
    with pytest.raises(RuntimeError, match="no container engine answers"):
        wants_containers("containers", lambda: False)


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match="write local or containers"):
        wants_containers("docker", never_asked)
