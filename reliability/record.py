"""What is kept of a campaign: one JSON file each, from which :mod:`reliability.page` makes its tables."""

import json
from dataclasses import asdict
from pathlib import Path

from bench.report import Circumstances, Report

RESULTS = Path(__file__).parent / "results"


def keep(report: Report, folder: Path = RESULTS) -> Path:
    """Write a campaign's table, where and when it was made, and its measurements to ``<folder>/<name>.json``.

    Returns
    -------
    pathlib.Path
        The file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report.name}.json"
    path.write_text(json.dumps(asdict(report), indent=1, ensure_ascii=False) + "\n", "utf-8")
    return path


def kept(folder: Path = RESULTS) -> list[Report]:
    """Every campaign's last record, by name."""
    return [_read(path) for path in sorted(folder.glob("*.json"))]


def _read(path: Path) -> Report:
    content = json.loads(path.read_text("utf-8"))
    return Report(
        **{
            **content,
            "circumstances": Circumstances(**content["circumstances"]),
            "columns": tuple(content["columns"]),
            "rows": tuple(tuple(row) for row in content["rows"]),
        }
    )
