"""The links of README and pages, as they are read in the repository, lead somewhere."""

import re
from pathlib import Path

import pytest

from tests.docs.blocks import PAGES, ROOT

MADE_BY_THE_SITE = {ROOT / "docs" / "reference" / "cli.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
        if not re.match(r"[a-z]+:", link):
            target = (page.parent / link).resolve()
            assert target.exists() or target in MADE_BY_THE_SITE, f"{page.name} links to {link}, which doesn't exist"
