"""The recommendation from one command: ``python -m examples.recommendation``.

Steps: ``world`` writes the tables of a seeded world, ``night`` publishes candidates and features,
``train`` makes a ranker, ``evaluate`` asks the API. Without a name, all of them. An entry point.
"""

from __future__ import annotations

import argparse
import http.client
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from examples.recommendation.evaluation import evaluate
from examples.recommendation.model import RECOMMENDATION
from examples.recommendation.night import run_night
from examples.recommendation.tables import read_tables
from examples.recommendation.training import train_ranker
from examples.recommendation.world import Size
from examples.recommendation.world_tables import write_world
from schemas.errors import WeirError
from schemas.settings import Settings

PATH: Final = f"/models/{RECOMMENDATION.name}/rank"
FOLLOWED_S_MAX: Final = 60
"""Longest wait until the API uses a new version."""


class ApiError(WeirError):
    """The API does not answer, or does not serve the recommendation."""


class Api:
    """Asks the API of the running stack; one connection."""

    def __init__(self, settings: Settings) -> None:
        """Connect at the first request."""
        self._connection = http.client.HTTPConnection(
            settings.api_host, settings.api_port, timeout=10
        )

    def rank(self, user_id: str, daypart: str | None) -> dict[str, Any]:
        """Ask for products.

        Raises:
            ApiError: there is no such route, or no API.
        """
        body = json.dumps({"user_id": user_id, "daypart": daypart})
        try:
            self._connection.request("POST", PATH, body, {"Content-Type": "application/json"})
            response = self._connection.getresponse()
            content = response.read()
        except OSError as error:
            raise ApiError(f"the API does not answer: {error}; start it with `make up`") from error
        if response.status == http.client.NOT_FOUND:
            raise ApiError(
                f"the API has no route {PATH}; start the stack with "
                "WEIR_MODELS=examples.recommendation.model:RECOMMENDATION"
            )
        if response.status != http.client.OK:
            raise ApiError(f"POST {PATH}: {response.status} {content.decode(errors='replace')}")
        answer: dict[str, Any] = json.loads(content)
        return answer


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of the example; each prints what it did."""

    settings: Settings
    directory: Path
    chosen: argparse.Namespace

    def world(self) -> None:
        """Write the tables of a seeded world."""
        size = Size(users=self.chosen.shoppers, products=self.chosen.products)
        write_world(size, self.directory, seed=self.chosen.seed, end_ms=_now_ms())
        print(
            f"a world of {size.users:,} shoppers and {size.products:,} products is in "
            f"{self.directory}"
        )

    def night(self) -> None:
        """Publish candidates and features."""
        report = run_night(
            self.settings, self.directory, now_ms=_now_ms(), method=self.chosen.method
        )
        written = report.written
        print(
            f"version {written.version}: {written.candidates:,} candidates of "
            f"{written.shoppers:,} shoppers in {sum(report.seconds.values()):.1f} s "
            f"{report.seconds}; before it {report.before or 'nothing'}"
        )

    def train(self) -> None:
        """Make a ranker, and wait until the API uses it."""
        trained = train_ranker(self.settings, self.directory, seed=self.chosen.seed)
        role = "the champion" if trained.is_champion else "not the champion"
        print(f"version {trained.version} is {role}: {trained.verdict.reason}")
        if trained.is_champion:
            self._wait_until_followed(trained.version)

    def evaluate(self) -> None:
        """Compare the API's rankings with the others."""
        print("\n".join(evaluate(self.directory, Api(self.settings).rank).lines()))

    def _wait_until_followed(self, version: str) -> None:
        api = Api(self.settings)
        until_s = time.monotonic() + FOLLOWED_S_MAX
        user_id = read_tables(self.directory)[0].users[0]
        while (api.rank(user_id, None)["model"] or {}).get("version") != version:
            if time.monotonic() > until_s:
                raise ApiError(f"the API does not use version {version}; its log says why")
            time.sleep(0.2)


NAMES: Final = ("world", "night", "train", "evaluate")


def main() -> None:
    """Run the steps that were named."""
    chosen = _arguments()
    settings = Settings()
    directory = chosen.directory or settings.data_dir / RECOMMENDATION.name
    steps = Steps(settings, directory, chosen)
    for name in chosen.steps or NAMES:
        try:
            getattr(steps, name)()
        except WeirError as error:
            print(f"{name}: {error}", file=sys.stderr)
            sys.exit(1)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m examples.recommendation", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("steps", nargs="*", metavar="step", help=", ".join(NAMES))
    parser.add_argument("--directory", type=Path, help="of the tables; default: in the data's")
    parser.add_argument("--shoppers", type=int, default=20_000, help="of the world")
    parser.add_argument("--products", type=int, default=5_000, help="of the world")
    parser.add_argument("--seed", type=int, default=1, help="of the world and of the training")
    parser.add_argument("--method", choices=("als", "bm25"), default="als", help="of candidates")
    chosen = parser.parse_args()
    if unknown := set(chosen.steps) - set(NAMES):
        parser.error(f"no step {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return chosen


if __name__ == "__main__":
    main()
