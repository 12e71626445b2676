"""How far the archive reaches in event time."""

from pathlib import Path

from features.definitions import DAY_MS
from schemas.topics import FEATURES
from tests.archives import append_values
from tests.builders import NOW_MS
from tests.component.training.archive.test_feature_rows import row, rows
from training.archive.newest import newest_event_ms


def test_the_newest_event_is_that_of_a_readable_row(tmp_path: Path) -> None:
    assert newest_event_ms(str(tmp_path), now_ms=NOW_MS) is None
    append_values(str(tmp_path), FEATURES, [b"junk"])
    assert newest_event_ms(str(tmp_path), now_ms=NOW_MS) is None
    times_ms = (NOW_MS - 2 * DAY_MS, NOW_MS - DAY_MS + 7, NOW_MS - DAY_MS + 3)
    values = rows(*(row(f"t-{ms}", event_time_ms=ms) for ms in times_ms))
    append_values(str(tmp_path), FEATURES, values, start=1)
    assert newest_event_ms(str(tmp_path), now_ms=NOW_MS) == NOW_MS - DAY_MS + 7


def test_events_after_the_clock_do_not_count(tmp_path: Path) -> None:
    times_ms = (NOW_MS - DAY_MS, NOW_MS - 5, NOW_MS + 1, 253_402_300_799_000)
    values = rows(*(row(f"t-{ms}", event_time_ms=ms) for ms in times_ms))
    append_values(str(tmp_path), FEATURES, values)
    assert newest_event_ms(str(tmp_path), now_ms=NOW_MS) == NOW_MS - 5
    assert newest_event_ms(str(tmp_path), now_ms=NOW_MS - 6) == NOW_MS - DAY_MS
    assert newest_event_ms(str(tmp_path), now_ms=NOW_MS - 2 * DAY_MS) is None
