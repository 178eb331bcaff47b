"""Each map has its page: formula, source, defaults as they are, a picture, when it misleads, what checks found."""

import re
import struct
from pathlib import Path

import pytest

import camfast
from camfast import backprop, perturbation
from camfast.methods import METHODS
from tests.docs.blocks import ROOT

FOLDER = ROOT / "docs" / "methods"
PICTURES = ROOT / "docs" / "pictures" / "methods"
SHARED = {"project": "attentive_response", "occlusion": "perturbation", "rise": "perturbation"}
OF_LAYERS = {name: name.replace("+", "p") for name in camfast.methods()}
FUNCTIONS = [name for name in (*backprop.__all__, *perturbation.__all__) if name.islower()]
PAGES = sorted({*OF_LAYERS.values(), *(SHARED.get(name, name) for name in FUNCTIONS), "seg-hires-gradcam"})
MOST_BYTES = 300_000


def _text(page: str) -> str:
    return (FOLDER / f"{page}.md").read_text("utf-8")


def _section(page: str, heading: str) -> str:
    found = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", _text(page), re.MULTILINE | re.DOTALL)
    assert found, f"{page}.md has no section {heading!r}"
    return found[1].strip()


def test_every_map_has_a_page_and_every_page_is_in_the_menu_and_in_the_table() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == {*PAGES, "index"}
    menu = re.findall(r"methods/([\w-]+)\.md", (ROOT / "mkdocs.yml").read_text("utf-8"))
    assert sorted(menu) == sorted([*PAGES, "index"])
    assert {*re.findall(r"\]\(([\w-]+)\.md\)", _text("index"))} == set(PAGES)


@pytest.mark.parametrize("name", [*camfast.methods(), *FUNCTIONS])
def test_a_name_is_called_on_its_page_and_stands_in_the_table(name: str) -> None:
    page = SHARED.get(name, OF_LAYERS.get(name, name))
    code = "\n".join(re.findall(r"^ *```python\n(.*?)```", _text(page), re.MULTILINE | re.DOTALL))
    wanted = rf'"{re.escape(name)}"' if name in OF_LAYERS else rf"camfast\.{name}\("
    assert re.search(wanted, code)
    assert re.search(rf"^\| .*`{re.escape(name)}`", _text("index"), re.MULTILINE)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_its_sections(page: str) -> None:
    assert re.match(r"# .+\n\n\S.+\.\n\n## Formula\n", _text(page)), "a heading and one sentence, then the formula"
    formula = _section(page, "Formula")
    assert re.search(r"\$\$\n.+?\n\$\$", formula, re.DOTALL)
    assert re.search(r"^Sources?: .*\*.+\*.*(19|20)\d\d", formula, re.MULTILINE), "title and year of the source"
    assert "```python" in _section(page, "Call")
    assert len(re.findall(r"^- \*\*", _section(page, "When it misleads"), re.MULTILINE)) >= 3
    assert _section(page, "Sanity check")
    assert "](../reference/" in _section(page, "See also")


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_a_picture_that_a_command_draws(page: str) -> None:
    text = _section(page, "Picture")
    shown = re.findall(r"!\[([^\]]+)\]\(\.\./pictures/methods/([\w-]+)\.png\)", text)
    assert page in [name for _, name in shown]
    assert all(len(seen) > 40 for seen, _ in shown), "says what is seen"
    for _, name in shown:
        assert f"`python -m studies.method_pictures {name}`" in text
        assert (PICTURES / f"{name}.png").stat().st_size <= MOST_BYTES


def test_every_picture_is_shown() -> None:
    shown = {name for page in PAGES for name in re.findall(r"pictures/methods/([\w-]+\.png)", _text(page))}
    assert shown == {path.name for path in PICTURES.iterdir()}
    assert all(_size(PICTURES / name)[0] >= 600 for name in shown), "wide enough for a page's column"


def _size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])  # of the PNG's header chunk
    return width, height


@pytest.mark.parametrize("name", camfast.methods())
def test_the_defaults_on_a_page_are_those_of_the_method(name: str) -> None:
    formula = _section(OF_LAYERS[name], "Formula")
    said = dict(re.findall(r"^\| (ReLU on the map|Upsampling) \| (\w+)", formula, re.MULTILINE))
    assert said["ReLU on the map"] == ("yes" if METHODS[name].relu else "no")
    assert said["Upsampling"] == ("Gaussian" if name == "extended" else "linear")


def test_extended_alone_wants_gaussians() -> None:
    model = camfast.models.resnet20().eval()
    for name in camfast.methods():
        if name == "extended":
            with pytest.raises(ValueError, match="sigma"):
                camfast.Explainer(model, "layer3", name)
        else:
            camfast.Explainer(model, "layer3", name)
