"""Debian's Chromium, driven by Playwright."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium")
TUBE, PHONE = (1024, 768), (390, 844)


@contextmanager
def browser() -> Iterator[Any]:
    """Start Chromium, which `CHROMIUM` has to be there for."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def context_for(chromium: Any, size: tuple[int, int], **options: Any) -> Any:
    """Open a window of a size, that of a phone with its pixels and touch."""
    phone = {"device_scale_factor": 2, "is_mobile": True, "has_touch": True} if size == PHONE else {}
    return chromium.new_context(viewport={"width": size[0], "height": size[1]}, **phone, **options)
