"""The site that `make docs` builds: links and anchors resolve, and a page loads nothing from another server."""

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

SITE = Path(__file__).resolve().parents[2] / "build" / "site"
pytestmark = pytest.mark.site

_LOADED = {"audio": "src", "iframe": "src", "img": "src", "link": "href", "script": "src", "source": "src"}
_NOT_LOADED = {"canonical", "next", "prev", "alternate", "edit"}


class _Reader(HTMLParser):
    """What a page refers to, loads, and names."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attributes}
        self.anchors.update(found[name] for name in ("id", "name") if found.get(name))
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        address = found.get(_LOADED.get(tag, ""), "")
        if address and found.get("rel") not in _NOT_LOADED:
            self.loaded.append(address)


@cache
def _read(path: Path) -> _Reader:
    reader = _Reader()
    reader.feed(path.read_text())
    return reader


def _pages() -> Iterator[Path]:
    assert (SITE / "index.html").exists(), f"no site at {SITE}: run make docs"
    return (path for path in SITE.rglob("*.html") if path.name != "404.html")


def test_links_and_anchors_resolve() -> None:
    broken = []
    for path in _pages():
        for link in {*_read(path).links, *_read(path).loaded}:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists() or (
                parts.fragment and target.suffix == ".html" and unquote(parts.fragment) not in _read(target).anchors
            ):
                broken.append(f"{path.relative_to(SITE)}: {link}")
    assert not broken, "\n".join(sorted(broken))


def test_nothing_comes_from_another_server() -> None:
    foreign = {(path.name, address) for path in _pages() for address in _read(path).loaded if "//" in address}
    assert not foreign


def test_formulas_are_mathml() -> None:
    assert "<math" in (SITE / "methods" / "respond.html").read_text()
    for path in _pages():
        assert 'class="arithmatex"' not in path.read_text(), f"{path.relative_to(SITE)} has LaTeX that nobody turned"
