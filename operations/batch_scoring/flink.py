"""Runs the parts of a batch scoring on a Flink cluster, and follows them.

Called by `run`. A part that is complete has left a file with its result.
"""

import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Final

from operations.batch_scoring.errors import ScoringFailedError
from operations.flink_client import FlinkClient, ask_flink
from streams.batch_scoring.plan import RESULTS_DIRECTORY, PartResult, result_file

_REQUEST_S_MAX: Final = 5.0
_POLL_S: Final = 0.3

Progress = Callable[[int], object]
"""Takes how many rows have been read so far."""


def run_parts(
    client: FlinkClient,
    flink_rest_url: str,
    directory: Path,
    *,
    job_name: str,
    parts: int,
    parallelism: int,
    progress: Progress,
) -> list[PartResult]:
    """Run the parts of a directory; gives their results, in order.

    Blocks: as long as the parts take.
    On failure: the job is cancelled; the parts that are complete have their results.

    Raises:
        ScoringFailedError: the job failed.
    """
    arguments = [str(directory), str(parallelism)]
    done: dict[int, PartResult] = {}
    try:
        with client.started("streams.batch_scoring.job", arguments, scratch=directory) as process:
            while process.poll() is None:
                _read_results(directory, done)
                progress(sum(result.rows + result.left_out for result in done.values()))
                time.sleep(_POLL_S)
            returned = process.returncode
    finally:
        _cancel(flink_rest_url, job_name)
    _read_results(directory, done)
    if returned != 0 or len(done) < parts:
        raise ScoringFailedError(
            f"the Flink job failed after {len(done)} of {parts} parts; nothing was published, the "
            f"predictions of earlier runs are as they were. {client.keep_log(directory)}"
        )
    progress(sum(result.rows + result.left_out for result in done.values()))
    return [done[number] for number in sorted(done)]


def _read_results(directory: Path, done: dict[int, PartResult]) -> None:
    for file in (directory / RESULTS_DIRECTORY).glob("part-*.json"):
        number = int(file.stem.removeprefix("part-"))
        if number not in done:
            done[number] = PartResult.decode(result_file(directory, number).read_bytes())


def _cancel(flink_rest_url: str, job_name: str) -> None:
    """Cancel the job if it still runs: its client was stopped, or failed alone."""
    try:
        jobs = ask_flink(f"{flink_rest_url}/jobs/overview")["jobs"]
        for job in jobs:
            if job["name"] == job_name and job["end-time"] < 0:
                url = f"{flink_rest_url}/jobs/{job['jid']}?mode=cancel"
                request = urllib.request.Request(url, method="PATCH")  # noqa: S310  # a setting
                with urllib.request.urlopen(request, timeout=_REQUEST_S_MAX):  # noqa: S310
                    pass
    except OSError:
        # Flink is gone, and the job with it.
        return
