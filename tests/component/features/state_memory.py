"""Memory of states of users: `python -m tests.component.features.state_memory USERS EVENTS`.

Prints how much memory the process has grown by, and how much the engine counts, bytes; in a process
of its own, because memory that others have given back would be used first.
"""

from __future__ import annotations

import ctypes
import json
import resource
import sys
from pathlib import Path

import orjson

from features.definitions import DAY_MS
from features.engine.job import KeptStates, open_job
from schemas import topics
from streams.velocity import engine_frames
from streams.velocity.engine import Engine
from streams.velocity.record_frame import encode_record
from tests.builders import LIMITS, NOW_MS, transaction_object

A_BATCH = 500


def frame(user: int, event: int, events: int) -> bytes:
    """An event of a user, one of a month."""
    value = transaction_object(
        transaction_id=f"transaction-{user:08d}-{event:08d}",
        user_id=f"user-{user:08d}",
        merchant_id=f"merchant-{(user + event) % 100}",
        event_time_ms=NOW_MS - 29 * DAY_MS + event * 29 * DAY_MS // events,
    )
    return encode_record(
        topics.TRANSACTIONS.encode(), key=None, value=orjson.dumps(value), headers_bytes=b""
    )


def resident_bytes() -> int:
    """Memory of this process that is in RAM, bytes, without what the allocator could give back."""
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def measure(users: int, events: int, kept: KeptStates) -> dict[str, int]:
    """Fold events of users, and give the growth and the count."""
    job = open_job(LIMITS, first=0, end=2, changed_keys_max=1, layouts=[None, None], kept=kept)
    engine = Engine(job, limits=LIMITS)
    before_bytes = resident_bytes()
    for event in range(events):
        for start in range(0, users, A_BATCH):
            frames = [frame(user, event, events) for user in range(start, start + A_BATCH)]
            missing = engine.begin(engine_frames.encode_batch(frames), now_ms=NOW_MS)
            while missing:
                wanted = engine_frames.decode_missing(missing)
                missing = engine.restore(engine_frames.encode_journals([()] * len(wanted)))
            engine.finish(now_ms=NOW_MS)
    counted = sum(job.live_bytes(entity) + job.packed_bytes(entity) for entity in range(2))
    return {"grown": resident_bytes() - before_bytes, "counted": counted}


if __name__ == "__main__":
    limits = [int(argument) for argument in sys.argv[3:]]
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), KeptStates(*limits))))
