"""``camfast demo``: simulate a tomogram, scan it with the bundled network, and show what was found."""

import argparse
import platform
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast._version import __version__
from camfast.cli import network
from camfast.errors import InputError

if TYPE_CHECKING:
    from camfast.scan import Volume
    from camfast.simulate import Tomogram

SHAPE = (64, 192, 192)
PARTICLES = 112
SNR = 1.0
WINDOW, STRIDE = 32, 8
METHOD = "respond"
LABEL = "ring"
MARKER_RADIUS = 11.0


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "demo",
        parents=[common],
        help="simulated tomogram, scanned with the bundled network, with a page that shows the result",
        description="Simulate a tomogram, scan it with the bundled network, and write the map, pictures and a page.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "--out", required=True, type=Path, metavar="DIR", help="folder for the results, made if missing"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the simulation (default 0)")
    parser.add_argument(
        "--class", dest="label", default=LABEL, metavar="LABEL", help=f"class to look for (default {LABEL})"
    )


def run(options: argparse.Namespace) -> None:
    """Simulate, scan, measure and write everything into the folder; an earlier demo there is replaced."""
    began = time.perf_counter()
    from camfast import Explainer, models, simulate
    from camfast.scan import Volume, read_volume, write_volumes
    from camfast.scan.output import staged
    from camfast.scan.report import count_hits, together, write_report
    from camfast.scan.scanner import scan

    folder = _folder(options.out)
    loaded = models.load("subtomogram_demo")
    target = network.target_of(options.label, loaded.labels)
    if not isinstance(target, int):
        raise InputError(f"--class is {options.label!r}, expected one class of {', '.join(loaded.labels or ())}")
    tomogram = simulate.tomogram(SHAPE, PARTICLES, seed=options.seed, snr=SNR)
    size = tomogram.voxel_angstrom
    like = Volume(tomogram.data, (size, size, size))
    with staged(folder / "tomogram.mrc", overwrite=True) as path:
        write_volumes(path, [tomogram.data], like, attributes={"simulated": f"seed {options.seed}, SNR {SNR:g}"})
    simulate.write_particles(folder / "particles.csv", tomogram.particles)
    simulated = time.perf_counter()
    result = scan(
        folder / "tomogram.mrc",
        Explainer(loaded.module, loaded.layer or "maxpool2", METHOD),
        window=WINDOW,
        stride=STRIDE,
        target=target,
        out=folder / "cam.mrc",
        overwrite=True,
        progress=not (options.quiet or options.json),
    )
    scanned = time.perf_counter()
    label = network.label_of(target, loaded.labels)
    counts = count_hits(result.cam, _centres(tomogram))
    own = together([count for count in counts if count.label == label], label)
    others = together([count for count in counts if count.label != label], "others")
    pictures = _pictures(folder, read_volume(folder / "tomogram.mrc"), result.cam, tomogram, label, options.seed)
    drawn = time.perf_counter()
    measured = {
        "windows": int(result.scores[..., 0].numel()),
        "scan_seconds": scanned - simulated,
        "voxels_per_second": round(tomogram.data.size / (scanned - simulated)),
        **_machine(),
    }
    write_report(
        folder / "index.html",
        label=label,
        scanned=own,
        others=others,
        all=together(counts, "all"),
        counts=counts,
        pictures=pictures,
        figure_width=1150,
        run=_about(options.seed, loaded, tomogram, measured, simulated - began, drawn - scanned),
        files=_files(),
        command=_command(target),
        **{name: measured[name] for name in ("windows", "scan_seconds", "voxels_per_second", "threads")},
    )
    facts = {
        "page": str(folder / "index.html"),
        "class": label,
        "seed": options.seed,
        "particles": own.particles,
        "hit_percent": own.percent,
        "other_particles": others.particles,
        "others_hit_percent": others.percent,
        "seconds": time.perf_counter() - began,
        **measured,
    }
    lines = [
        f"{own.hit} of {own.particles} true {label} particles ({own.percent:.0f} %) and {others.hit} of "
        f"{others.particles} others ({others.percent:.0f} %) have a map value among the volume's top 5 % within 2 "
        "voxels of their centre",
        f"{measured['windows']:,} windows in {measured['scan_seconds']:.1f} s "
        f"({measured['voxels_per_second']:,} voxels/s); all in {facts['seconds']:.0f} s",
        f"open {facts['page']}",
    ]
    network.show(options, facts, lines)


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {path}: the folder cannot be made ({error.strerror}); choose another") from None
    return path


def _centres(tomogram: "Tomogram") -> dict[str, list[tuple[float, float, float]]]:
    return {label: [p.centre for p in tomogram.particles if p.label == label] for label in tomogram.labels}


def _pictures(
    folder: Path, volume: "Volume", cam: Any, tomogram: "Tomogram", label: str, seed: int
) -> list[dict[str, str]]:
    """Draw the tomogram alone and with its map, on light and on dark ground."""
    from camfast import plot

    centres = _centres(tomogram)
    others = [centre for name, group in centres.items() if name != label for centre in group]
    pictures = []
    for name, over, caption, alt in (
        (
            "cam",
            cam,
            f"The class activation map for {label} over central slices of the tomogram.",
            f"Central slices of the tomogram with the map over them: red where the network sees a {label}, with "
            f"circles around true {label} particles and dotted circles around others.",
        ),
        (
            "tomogram",
            None,
            "The same slices of the tomogram alone: this is what the network is given. Particles are dark.",
            f"Central slices of the noisy tomogram with circles around true {label} particles and others.",
        ),
    ):
        for dark in (False, True):
            markers = [
                plot.Markers(f"true {label}", centres[label], MARKER_RADIUS, "#00b4d8"),
                plot.Markers("other particles", others, MARKER_RADIUS, "#35c435", ":"),
            ]
            figure = plot.slices(volume.data, over, voxel_angstrom=volume.voxel_angstrom, markers=markers, dark=dark)
            plot.save(figure, folder / _picture(name, dark=dark), command="demo", seed=seed, label=label)
        pictures.append(
            {"light": _picture(name, dark=False), "dark": _picture(name, dark=True), "caption": caption, "alt": alt}
        )
    return pictures


def _picture(name: str, *, dark: bool) -> str:
    return f"{name}_slices{'_dark' if dark else ''}.png"


def _machine() -> dict[str, Any]:
    import torch

    return {"threads": torch.get_num_threads(), "torch": torch.__version__, "python": platform.python_version()}


def _about(
    seed: int,
    loaded: Any,
    tomogram: "Tomogram",
    measured: dict[str, Any],
    before: float,
    after: float,
) -> dict[str, str]:
    shape = " × ".join(str(n) for n in tomogram.data.shape)
    accuracy = loaded.metadata.get("accuracy")
    network_facts = f"subtomogram_demo, {sum(p.numel() for p in loaded.module.parameters()):,} parameters"
    if accuracy is not None:
        network_facts += f", {100 * accuracy:.1f} % right on simulated windows it had not seen"
    return {
        "tomogram": f"{shape} voxels of {tomogram.voxel_angstrom:g} Å, nominal SNR {SNR:g}, seed {seed}",
        "network": network_facts,
        "map": f"{METHOD} at layer {loaded.layer}, windows of {WINDOW}³ voxels every {STRIDE}",
        "time": f"simulation {before:.1f} s, scan {measured['scan_seconds']:.1f} s, figures {after:.1f} s",
        "versions": f"camfast {__version__}, torch {measured['torch']}, Python {measured['python']}",
        "machine": f"{platform.machine()}, {measured['threads']} threads",
    }


def _files() -> list[dict[str, str]]:
    return [
        {"name": "tomogram.mrc", "what": "the simulated tomogram"},
        {"name": "cam.mrc", "what": "its class activation map"},
        {"name": "particles.csv", "what": "the true positions and orientations"},
    ]


def _command(target: int) -> str:
    return (
        f"camfast scan tomogram.mrc --model subtomogram_demo --method {METHOD} --target {target} \\\n"
        f"    --window {WINDOW} --stride {STRIDE} -o again.mrc"
    )
