"""The build's promises: everything pinned and hashed, every target explained, CI has no logic."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
REQUIREMENTS = sorted((REPO / "requirements").glob("*.txt"))
PYPROJECT = tomllib.loads((REPO / "pyproject.toml").read_text(encoding="utf-8"))


def pinned(path: Path) -> dict[str, str]:
    """Name to the block of lines (pin, hashes, comments) of each package."""
    blocks = re.split(r"^(?=[A-Za-z0-9])", path.read_text(encoding="utf-8"), flags=re.M)
    return {re.split(r"[=\[ ]", block)[0]: block for block in blocks if block[:1].isalnum()}


def declared(*extras: str) -> set[str]:
    project = PYPROJECT["project"]
    asked = [*project["dependencies"]]
    for extra in extras:
        asked += project["optional-dependencies"][extra]
    return {re.split(r"[<>=\[ ]", line)[0] for line in asked}


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_package_is_pinned_and_hashed(path: Path) -> None:
    packages = pinned(path)
    assert packages
    for name, block in packages.items():
        assert re.match(rf"{re.escape(name)}(\[\S+\])?==\S+", block), block[:80]
        assert "--hash=sha256:" in block, name


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("services.txt", ("services", "dev", "examples")),
        ("streams.txt", ("streams",)),
    ],
)
def test_what_pyproject_asks_for_is_pinned(file: str, extras: tuple[str, ...]) -> None:
    missing = declared(*extras) - set(pinned(REPO / "requirements" / file))
    assert not missing, f"run `make requirements`: {file} lacks {missing}"


def test_the_two_environments_never_meet() -> None:
    services, streams = (
        set(pinned(REPO / "requirements" / f"{name}.txt")) for name in ("services", "streams")
    )
    assert "apache-flink" in streams - services
    assert "mlflow" in services - streams


def makefile_targets() -> set[str]:
    text = (REPO / "Makefile").read_text(encoding="utf-8")
    return {name for line in re.findall(r"^\.PHONY: (.*)$", text, re.M) for name in line.split()}


def test_make_help_explains_every_target() -> None:
    done = subprocess.run(
        ["make", "help"], cwd=REPO, check=True, capture_output=True, text=True, timeout=60
    )
    explained = set(re.findall(r"^  (\S+)  +\S", done.stdout, re.M))
    assert explained == makefile_targets() - {"system-packages"}


def test_the_build_server_runs_make_test_and_nothing_else() -> None:
    script = REPO / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    commands = [
        line
        for line in script.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "exec make test"]
