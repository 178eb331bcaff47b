"""Figures as files that say how they came about."""

import json
from pathlib import Path
from typing import Any

from camfast._version import __version__


def save(figure: Any, path: str | Path, **provenance: Any) -> None:
    """Save a figure as PNG, with how it came about in the file's text fields as JSON; a rerun gives equal bytes."""
    description = json.dumps(provenance, sort_keys=True, default=str)
    metadata = {"Software": f"camfast {__version__}", "Description": description}
    figure.savefig(path, format="png", dpi=150, metadata=metadata)
