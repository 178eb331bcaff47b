"""``camfast demo``: simulate a tomogram, scan it with the bundled network, and show what was found."""

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast.cli import demo_page, network
from camfast.errors import InputError

if TYPE_CHECKING:
    from camfast.scan.showing.report import ClassHits
    from camfast.simulate import Tomogram

SHAPE = (64, 192, 192)
PARTICLES = 112
STRIDE = 8
METHOD = "respond"
LABEL = "barrel"


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="simulated tomogram, scanned with the bundled network, with a page that shows the result",
        description="Simulate a tomogram, scan it with the bundled network, and write the map, pictures and a page.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="folder for the results")
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default 0)")
    parser.add_argument("--overwrite", action="store_true", help="replace files of these names that no demo wrote")
    parser.add_argument("--class", dest="label", default=LABEL, help=f"class to look for (default {LABEL})")


def run(options: argparse.Namespace) -> None:
    """Simulate, scan and measure; everything appears in the folder when it is done, in place of an earlier demo."""
    if options.seed < 0:
        raise InputError(f"--seed is {options.seed}, expected 0 or a positive whole number")
    with _folder(options.out, overwrite=options.overwrite) as folder:
        facts, lines = _demonstrated(options, folder)
    network.show(options, facts, lines)


def _demonstrated(options: argparse.Namespace, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Write everything into a folder; return what was measured, and what to print of it."""
    from camfast import Explainer, models, read_provenance, simulate
    from camfast.scan.scanner import scan
    from camfast.scan.showing.report import count_hits, together

    began = time.perf_counter()
    loaded = models.load("subtomogram_demo")
    target = _target(options.label, loaded.labels)
    snr, window = loaded.metadata["training"]["snr"], tuple(loaded.metadata["window"])
    tomogram = simulate.tomogram(SHAPE, PARTICLES, seed=options.seed, snr=snr)
    _write_tomogram(folder, tomogram, f"seed {options.seed}, nominal SNR {snr:g}")
    simulated = time.perf_counter()
    layer = loaded.layer or "maxpool2"
    result = scan(
        folder / "tomogram.mrc",
        Explainer(loaded.module, layer, METHOD),
        window=window,
        stride=STRIDE,
        target=target,
        out=folder / "cam.mrc",
        progress=not (options.quiet or options.json),
    )
    scanned = time.perf_counter()
    counts = count_hits(result.cam, demo_page.centres_by_label(tomogram))
    own = together([count for count in counts if count.label == options.label], options.label)
    others = together([count for count in counts if count.label != options.label], "others")
    facts = {
        "class": options.label,
        "seed": options.seed,
        "snr": snr,
        "method": METHOD,
        "layer": layer,
        "window": list(window),
        "stride": STRIDE,
        "windows": int(result.scores[..., 0].numel()),
        "simulation_seconds": round(simulated - began, 2),
        "scan_seconds": round(scanned - simulated, 2),
        "voxels_per_second": round(tomogram.data.size / (scanned - simulated)),
        **demo_page.machine(),
    }
    about = read_provenance(folder / "cam.mrc")
    pictures = demo_page.draw(folder, tomogram, result.cam, {**about, **facts})
    page = demo_page.write(folder, loaded, tomogram, counts, own, others, pictures, facts)
    facts |= {
        "page": str(options.out / page),
        "seconds": round(time.perf_counter() - began, 2),
        **_measured(own, others),
    }
    return facts, _lines(own, others, facts)


def _target(label: str, labels: tuple[str, ...] | None) -> int:
    labels = labels or ()
    if label not in labels or label == "nothing":
        known = [name for name in labels if name != "nothing"]
        raise InputError(f"--class is {label!r}, expected one of {', '.join(known)}")
    return labels.index(label)


@contextmanager
def _folder(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """Give a temporary folder, and move what was written there into ``path`` when the block succeeds.

    After an exception or Ctrl-C ``path`` is as it was before. Only an earlier demo's files are replaced unasked.
    """
    if not overwrite and (names := demo_page.taken(path)):
        raise InputError(
            f"--out {path}: holds {', '.join(names)}, which no demo wrote; choose another folder, or --overwrite"
        )
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".demo.", suffix=".partial", dir=path))
    except OSError as error:
        raise InputError(f"--out {path}: the folder cannot be made ({error.strerror}); choose another") from None
    done = False
    try:
        yield folder
        # The page comes last: with it stands the whole demo.
        for file in sorted(folder.iterdir(), key=lambda file: file.name == demo_page.PAGE):
            file.replace(path / file.name)
        done = True
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for empty in made if not done else ():
            with suppress(OSError):  # somebody else may have put something there
                empty.rmdir()


def _write_tomogram(folder: Path, tomogram: "Tomogram", how: str) -> None:
    from camfast.scan import Volume, write_volumes
    from camfast.simulate import write_particles

    size = tomogram.voxel_angstrom
    volume = Volume(tomogram.data, (size, size, size))
    write_volumes(folder / "tomogram.mrc", [tomogram.data], volume, attributes={"simulated": how})
    write_particles(folder / "particles.csv", tomogram.particles)


def _measured(own: "ClassHits", others: "ClassHits") -> dict[str, Any]:
    return {
        "particles": own.particles,
        "hit_percent": own.percent,
        "other_particles": others.particles,
        "others_hit_percent": others.percent,
    }


def _lines(own: "ClassHits", others: "ClassHits", facts: dict[str, Any]) -> list[str]:
    return [
        f"{own.hit} of {own.particles} true {own.label} particles ({own.percent:.0f} %) and {others.hit} of "
        f"{others.particles} others ({others.percent:.0f} %) have a map value among the volume's top 5 % within 2 "
        "voxels of their centre",
        f"{facts['windows']:,} windows in {facts['scan_seconds']:.1f} s ({facts['voxels_per_second']:,} voxels/s); "
        f"all in {facts['seconds']:.0f} s",
        f"open {facts['page']}",
    ]
