"""The file with the popular products: what an API process answers with when Redis is empty.

Redis has the same list, which is newer; the file is for a process that starts while Redis has lost
everything or does not answer. Written by the nightly job.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path

log = logging.getLogger(__name__)


def path(data_dir: Path) -> Path:
    """Give the place of the file in the data directory of a deployment."""
    return data_dir / "recommendation" / "popular.json"


def write(file: Path, product_ids: list[int]) -> None:
    """Replace the file at once."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(product_ids))
    unfinished.replace(file)


def read(file: Path) -> list[int]:
    """Read the file; nothing if it is missing or damaged, which is logged."""
    try:
        found = json.loads(file.read_text())
        return [int(product_id) for product_id in found]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        log.warning("%s cannot be read: %s; the nightly job writes it again", file, error)
        return []
