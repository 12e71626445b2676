"""The types that mypy sees of the engine are those of the library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_the_stub_describes_the_library(tmp_path: Path) -> None:
    # The library lies within the module, which passes its names on; it has no stub of its own.
    allowed = tmp_path / "allowed"
    allowed.write_text(r"weir_engine\.weir_engine")
    done = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "weir_engine", "--allowlist", str(allowed)],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
