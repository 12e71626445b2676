"""Fixtures of the chaos tests."""

import pytest

from streams.velocity.online_rewrite import SLICE_KEYS_MAX
from tests.idle_users import IdleUsers, send_idle_users
from tests.services import Services


@pytest.fixture(scope="session")
def idle_users(weir_stack: Services) -> IdleUsers:
    """Users that rest; the first test that kills the TaskManager takes them out of its memory."""
    return send_idle_users(weir_stack, 3 * SLICE_KEYS_MAX)
