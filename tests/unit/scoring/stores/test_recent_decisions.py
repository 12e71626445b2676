import pytest

from scoring.stores.recent_decisions import RecentDecisions


@pytest.mark.parametrize(("count", "forgotten"), [(2, 0), (3, 0), (4, 1)])
def test_the_memory_forgets_the_oldest_past_its_limit(count: int, forgotten: int) -> None:
    recent = RecentDecisions(limit=3)
    for at in range(count):
        recent.remember(str(at), b"x")
    assert [recent.recall(str(at)) is None for at in range(count)] == [
        at < forgotten for at in range(count)
    ]
    assert len(recent) == min(count, 3)
