"""Where the studies find their data, keep what is costly to make, and leave what they found."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "studies" / "results"
PICTURES = ROOT / "studies" / "pictures"
WORK = Path(os.environ.get("CAMFAST_WORK", ROOT / "build" / "studies"))
"""Simulated volumes, checkpoints and trained weights; git-ignored, and made anew where it is missing."""


def data(*parts: str) -> Path:
    """A file or folder of the real data.

    Raises
    ------
    SystemExit
        If it isn't there; the message says where it was looked for.
    """
    folder = Path(os.environ.get("CAMFAST_DATA", ROOT.parent / "shared" / "data"))
    path = folder.joinpath(*parts)
    if not path.exists():
        raise SystemExit(f"this study needs {path}, which isn't there: set CAMFAST_DATA to the folder of real data")
    return path
