"""Every public name has its entry in the reference, under the name that users write."""

import importlib
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_house import PUBLIC

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
ENTRY = re.compile(r"^::: (?P<path>\S+)\n    options:\n      heading: (?P<name>\S+)$", re.MULTILINE)
TEXTS = {path.name: path.read_text() for path in sorted(REFERENCE.glob("*.md"))}
ENTRIES = [(page, *found.group("path", "name")) for page, text in TEXTS.items() for found in ENTRY.finditer(text)]
IN_WORDS = {"camfast.__version__"}  # said in a sentence, as it has no docstring


def _found(name: str) -> object:
    """What a public name stands for; `camfast.scan` is a function and a package, and its names are the package's."""
    package, _, last = name.rpartition(".")
    return getattr(importlib.import_module(package), last)


def _public() -> dict[str, object]:
    names = [f"{package}.{name}" for package in PUBLIC for name in importlib.import_module(package).__all__]
    found = {name: _found(name) for name in names}
    modules = {name for name, thing in found.items() if isinstance(thing, ModuleType)}
    assert modules == {name for name in PUBLIC if name not in {"camfast", "camfast.scan", "camfast.perturbation"}}
    return {name: thing for name, thing in found.items() if name not in modules | IN_WORDS}


def test_every_public_name_has_an_entry() -> None:
    described = {id(_found(name)) for _, _, name in ENTRIES}
    assert [name for name, thing in _public().items() if id(thing) not in described] == []
    assert all(f"`{name}`" in TEXTS["index.md"] for name in IN_WORDS)


def test_no_entry_is_hidden_from_this_test() -> None:
    assert len(ENTRIES) == sum(text.count(":::") for text in TEXTS.values()) > 100


@pytest.mark.parametrize(("page", "path", "name"), ENTRIES, ids=[name for *_, name in ENTRIES])
def test_an_entry_describes_what_it_names(page: str, path: str, name: str) -> None:
    assert name in _public(), f"{page} has an entry {name}, which is not public"
    assert _found(path) is _found(name), f"{page}: {name} isn't {path}"


def test_no_name_is_described_twice() -> None:
    names = [name for *_, name in ENTRIES]
    assert sorted(names) == sorted(set(names))
