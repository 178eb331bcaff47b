"""How a study writes down what came out: JSON with the circumstances, pictures, and its block of README.md."""

import argparse
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from bench.report import Circumstances, replace_block, table
from camfast import plot
from studies.common.paths import PICTURES, RESULTS, WORK

LARGE = 600_000
"""Bytes of a picture that is stored in fewer colours."""
README = Path(__file__).resolve().parents[1] / "README.md"


@dataclass(frozen=True)
class Table:
    """A table with a line above and what has to be said below."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def markdown(self) -> str:
        """The table for README.md."""
        parts = [f"**{self.title}**", table(tuple(self.columns), [tuple(row) for row in self.rows]), self.note]
        return "\n\n".join(part for part in parts if part)


@dataclass
class Study:
    """One run of a study.

    Attributes
    ----------
    name
        Of the script, the JSON file, the pictures and the block in README.md.
    quick
        A short run: what it writes goes to ``build/studies/quick`` and is not kept.
    facts
        What the study ran on: numbers of samples, accuracies, seeds.
    measurements
        Every figure, for the JSON file.
    tables, text
        What README.md shows, in this order: text, tables, pictures.
    """

    name: str
    quick: bool
    facts: dict[str, Any] = field(default_factory=dict)
    measurements: dict[str, Any] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    _pictures: list[tuple[str, str]] = field(default_factory=list)
    _circumstances: Circumstances = field(default_factory=Circumstances.now)

    @property
    def command(self) -> str:
        """What repeats this run."""
        return f"python -m studies.{self.name}{' --quick' if self.quick else ''}"

    def picture(self, figure: Any, name: str, caption: str, **provenance: Any) -> None:
        """Keep a figure of matplotlib as ``<study>_<name>.png``."""
        folder = WORK / "quick" if self.quick else PICTURES
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}_{name}.png"
        plot.save(figure, path, command=self.command, **{**self.facts, **provenance})
        lighten(path)
        self._pictures.append((path.name, caption))

    def write(self) -> None:
        """Write the JSON file and, after a full run, the block of README.md; print the tables."""
        folder = WORK / "quick" if self.quick else RESULTS
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "study": self.name,
            "command": self.command,
            "circumstances": vars(self._circumstances),
            "facts": self.facts,
            "measurements": self.measurements,
        }
        text = json.dumps(_plain(content), indent=1, allow_nan=False)
        (folder / f"{self.name}.json").write_text(text + "\n", "utf-8")
        print(self.markdown())
        if not self.quick:
            README.write_text(replace_block(README.read_text("utf-8"), self.name, self.markdown()), "utf-8")

    def markdown(self) -> str:
        """The block of README.md."""
        facts = "; ".join(f"{key.replace('_', ' ')} {value}" for key, value in self.facts.items())
        parts = [f"`{self.command}`, {self._circumstances.date}, commit {self._circumstances.commit}. {facts}".strip()]
        parts += [*self.text, *(shown.markdown() for shown in self.tables)]
        parts += [f"![{caption}](pictures/{name})\n\n*{caption}*" for name, caption in self._pictures]
        return "\n\n".join(parts)


def lighten(path: Path, large: int = LARGE) -> None:
    """Bring a picture of more bytes to 256 colours, dithered; what its text fields say stays."""
    if path.stat().st_size < large:
        return
    with Image.open(path) as picture:
        texts = PngInfo()
        for key, value in picture.text.items():
            texts.add_itxt(key, value)
        colours = picture.convert("RGB")
        reduced = colours.quantize(palette=colours.quantize(256), dither=Image.Dither.FLOYDSTEINBERG)
        reduced.save(path, optimize=True, pnginfo=texts)


def arguments(description: str | None) -> argparse.ArgumentParser:
    """A parser with ``--quick``, which every study has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute at most, to see that everything runs")
    return parser


def spread(values: Any, digits: int = 3) -> str:
    """Mean ± standard deviation over samples, NaN left out."""
    array = np.asarray(values, np.float64)
    if np.isnan(array).all():
        return "undefined"
    return f"{np.nanmean(array):.{digits}f} ± {np.nanstd(array):.{digits}f}"


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """A figure with its confidence interval."""
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _plain(value: Any) -> Any:
    """What JSON knows: tensors and arrays as lists, NaN and infinities as null, anything else as text."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, bool | int | str | None) else str(value)
