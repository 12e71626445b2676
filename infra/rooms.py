"""Draws the rooms of the repository: layers, folders, and how many imports point where.

Reads the layers from import-linter's contract in pyproject.toml and the imports from the sources;
imports none of them. `make rooms` runs it:

    python -m infra.rooms
"""

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]

_SEPARATOR = "        ↓"


def main() -> None:
    """Print the drawing of this repository."""
    sys.stdout.writelines(f"{line}\n" for line in drawing(REPO))


def drawing(repo: Path) -> Iterator[str]:
    """Draw the layers from top to bottom, each room with its folders and the rooms it imports.

    An import that does not point down is marked with ``UP``; import-linter refuses it as well.
    """
    layers = layers_of(repo)
    height = {room: len(layers) - at for at, layer in enumerate(layers) for room in layer}
    for layer in layers:
        if layer is not layers[0]:
            yield _SEPARATOR
        for room in layer:
            yield f"{room:<12}{'  '.join(folders_of(repo, room))}".rstrip()
            imports = imports_of(repo, room, known=set(height))
            arrows = [
                f"{other} {imports[other]}{'' if height[other] < height[room] else ' UP'}"
                for other in sorted(imports, key=lambda other: (-height[other], other))
            ]
            yield f"{'':<12}→ {', '.join(arrows) or 'no other room'}"


def layers_of(repo: Path) -> list[list[str]]:
    """Give the layers of the rooms, highest first, as import-linter's contract names them."""
    configuration = tomllib.loads((repo / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = configuration["tool"]["importlinter"]["contracts"]
    contract = next(c for c in contracts if c["name"].startswith("Rooms"))
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


def folders_of(repo: Path, room: str) -> list[str]:
    """Name the folders of a room that hold sources."""
    kinds = ("*.py", "*.java")
    return sorted(
        f"{folder.name}/"
        for folder in (repo / room).iterdir()
        if folder.is_dir() and any(next(folder.rglob(kind), None) for kind in kinds)
    )


def imports_of(repo: Path, room: str, *, known: set[str]) -> Counter[str]:
    """Count a room's import statements by the room that they import, itself left out."""
    found: Counter[str] = Counter()
    for path in (repo / room).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found[node.module.partition(".")[0]] += 1
    return Counter({other: found[other] for other in known - {room} if found[other]})


if __name__ == "__main__":
    main()
