"""The page that shows what a scan of a known tomogram found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camfast._extras import require
from camfast.scan.picking.hits import hits

FRACTION = 0.05
RADIUS = 2.0


@dataclass(frozen=True, slots=True)
class ClassHits:
    """How many particles of a class have a top value of the map at their centre.

    Parameters
    ----------
    label
        The class.
    particles
        How many there are.
    hit
        How many of them have one.
    """

    label: str
    particles: int
    hit: int

    @property
    def percent(self) -> float:
        """Share of hit particles in per cent; 0 where there are none."""
        return 100.0 * self.hit / self.particles if self.particles else 0.0


def count_hits(cam: Any, centres: Mapping[str, Sequence[Sequence[float]]]) -> list[ClassHits]:
    """Count, class by class, the particles with a value of the map's top 5 % within 2 voxels of their centre.

    Parameters
    ----------
    cam
        Map (z, y, x).
    centres
        Positions (z, y, x) in voxels by class.
    """
    everywhere = [centre for group in centres.values() for centre in group]
    found = hits(cam, everywhere, fraction=FRACTION, radius=RADIUS)
    counts, first = [], 0
    for label, group in centres.items():
        counts.append(ClassHits(label, len(group), int(found[first : first + len(group)].sum())))
        first += len(group)
    return counts


def together(counts: Sequence[ClassHits], label: str) -> ClassHits:
    """Sum several classes under one name."""
    return ClassHits(label, sum(c.particles for c in counts), sum(c.hit for c in counts))


def write_report(path: Path, **facts: Any) -> None:
    """Render the page from its template; every value is escaped."""
    jinja2 = require("jinja2", "scan", "writing the report page")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html").render(fraction=FRACTION, radius=RADIUS, **facts)
    path.write_text(page, encoding="utf-8")
