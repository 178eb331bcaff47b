"""What every test shares: where the real data is, and torch set up so that mistakes show."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

import camfast  # noqa: F401 (for the doctests' namespace)
from tests import browsers

with suppress(ImportError):  # a machine that has nothing but a GPU to test may lack it
    from hypothesis import settings

    # the same cases each time; none is a failure because the machine is busy. python -m reliability.kernels tries more
    settings.register_profile("camfast", deadline=None, derandomize=True, database=None)
    settings.load_profile("camfast")

_DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("CAMFAST_DATA", _DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set CAMFAST_DATA")
    return folder


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium, or a skip that says what is missing; for tests that are marked ``browser``."""
    pytest.importorskip("playwright.sync_api", reason="playwright isn't installed")
    if browsers.CHROMIUM is None:
        pytest.skip("chromium isn't installed: apt-get install chromium")
    with browsers.browser() as chromium:
        yield chromium


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
