"""What every test shares: where the real data is, and torch set up so that mistakes show."""

import os
from pathlib import Path

import pytest
import torch

import camfast  # noqa: F401 (for the doctests' namespace)

_DEFAULT_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("CAMFAST_DATA", _DEFAULT_DATA))
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set CAMFAST_DATA")
    return folder


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
