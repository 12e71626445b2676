"""The drawing of the rooms: layers in order, folders, arrows with counts, arrows that point up."""

from pathlib import Path

import pytest

from infra import rooms

PYPROJECT = """
[tool.importlinter]
[[tool.importlinter.contracts]]
name = "Another one"
layers = ["ignored"]
[[tool.importlinter.contracts]]
name = "Rooms: imports point down"
layers = ["shop", "cart | till", "money"]
"""


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    sources = {
        "shop/web/page.py": "import os\nimport cart.lines\nfrom money import cents\n",
        "shop/web/other.py": "def late():\n    from money import cents\n",
        "shop/empty/notes.md": "no source",
        "cart/lines.py": "from . import near\nfrom cart import near\nfrom money import cents\n",
        "till/jvm/Till.java": "class Till {}",
        "money/cents.py": "import shop\n",
    }
    for name, content in sources.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    return tmp_path


def test_every_room_has_its_folders_and_its_arrows_and_an_arrow_up_is_marked(repo: Path) -> None:
    assert list(rooms.drawing(repo)) == [
        "shop        web/",
        "            → cart 1, money 2",
        "        ↓",
        "cart",
        "            → money 1",
        "till        jvm/",
        "            → no other room",
        "        ↓",
        "money",
        "            → shop 1 UP",
    ]


def test_here_all_arrows_point_down_and_every_room_is_drawn() -> None:
    drawing = "\n".join(rooms.drawing(rooms.REPO))
    assert " UP" not in drawing
    names = [room for layer in rooms.layers_of(rooms.REPO) for room in layer]
    assert names[0] == "examples"
    assert names[-1] == "schemas"
    assert all(f"\n{name}" in f"\n{drawing}" for name in names)


def test_the_command_prints_the_drawing(capsys: pytest.CaptureFixture[str]) -> None:
    rooms.main()
    assert capsys.readouterr().out.splitlines() == list(rooms.drawing(rooms.REPO))
