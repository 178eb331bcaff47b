"""The page about recordings: its Python runs as it stands, and it names every array that there is."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

PAGE = Path(__file__).resolve().parents[3] / "docs" / "live" / "recordings.md"


def test_the_python_of_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reading, calling = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(calling, PAGE.name, "exec"), names)  # which records what the other one reads
    part: Any = zarr.open_group("run.zarr", mode="r")["0000"]
    assert len(names["found"]) == part["frame"].shape[0] > 0
    assert part["number"][:].tolist() == [number for number, _ in names["found"]]
    exec(compile(reading, PAGE.name, "exec"), names)
    shown = part["overlay"][names["best"]]
    # greys are rounded before they are blended where it is shown, and not where it is made again
    assert np.abs(names["picture"].numpy().astype(int) - shown).max() <= 1
    text = PAGE.read_text()
    assert all(f"`{name}`" in text for name in part.array_keys())
