"""The drawing of the rooms says what the imports are held to."""

import re
from pathlib import Path
from xml.etree import ElementTree

from tests.test_house import ASIDE, ORDER, ROOT

DRAWING = ROOT / "docs" / "pictures" / "architecture.svg"
SVG = "{http://www.w3.org/2000/svg}"


def _rooms() -> dict[str, float]:
    """Each name, with how far down it stands."""
    texts = ElementTree.fromstring(DRAWING.read_text()).iter(f"{SVG}text")
    names = [text for text in texts if text.get("class") == "name"]
    return {name: float(text.get("y", "0")) for text in names for name in (text.text or "").split(", ")}


def test_rooms_stand_in_the_order_of_the_house() -> None:
    rank = {name: rank for rank, names in enumerate(ORDER) for name in names}
    within_ops = {"reference", "native", "kernels"}
    rooms = _rooms()
    assert len(rooms) > 20
    assert rooms.keys() >= ASIDE
    rooms = {name: y for name, y in rooms.items() if name not in ASIDE}
    assert rooms.keys() - within_ops <= rank.keys()
    for upper, high in rooms.items():
        for lower, low in rooms.items():
            if high < low and lower not in within_ops and upper not in within_ops:
                assert rank[upper] > rank[lower], f"{upper} is drawn above {lower}"
    assert min(rooms[name] for name in within_ops) > rooms["ops"]


def test_files_of_the_hops_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    files = [Path(name) for name in re.findall(r"`((?:camfast|csrc|kernels|tests)/[\w/]+\.\w+)`", page)]
    assert len(files) >= 6
    assert [str(name) for name in files if not (ROOT / name).is_file()] == []
