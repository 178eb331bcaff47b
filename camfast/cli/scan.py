"""``camfast scan``: class activation maps of whole tomograms."""

import argparse
import re
import sys
import time
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast.cli import network
from camfast.errors import CamfastError, InputError

if TYPE_CHECKING:
    from camfast.scan import Volume

UNAVAILABLE = {
    "--resume": "a scan cannot be resumed in this version; it starts again from the first window",
    "--scheduler": "scanning on a cluster is not available in this version; run it on one machine",
    "--max-memory": "a limit of memory is not available in this version; choose a smaller --batch",
}


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "scan",
        parents=[common],
        help="class activation maps of whole tomograms",
        description="Slide a network over tomograms and write the class activation map of each, of the same shape.",
    )
    parser.set_defaults(run=run)
    parser.add_argument("tomograms", nargs="+", type=Path, metavar="TOMO", help="MRC, EM, TIFF, NIfTI or OME-Zarr")
    parser.add_argument(
        "-o", "--out", required=True, metavar="OUT",
        help="name ending in .zarr or .mrc; {name} in it stands for the tomogram's, for several: 'cams/{name}.zarr'",
    )  # fmt: skip
    network.add_options(parser)
    windows = parser.add_argument_group("windows").add_argument
    windows("--window", required=True, type=network.voxels, metavar="W", help="in voxels: one number, or z,y,x")
    windows("--stride", required=True, type=network.voxels, metavar="S", help="in voxels: one number, or z,y,x")
    windows("--blend", choices=("center", "mean", "sum", "max"), default="center", help="(default center)")
    windows("--mask", type=Path, metavar="FILE", help="volume; only windows whose centre touches it are run")
    windows("--batch", type=_batch, default="auto", metavar="N", help="windows per pass (default auto)")
    windows("--trunk", choices=("exact", "shared"), default="exact", help="only exact in this version (default)")
    values = parser.add_argument_group("values and units").add_argument
    values("--apix", type=float, metavar="A", help="voxel size of the tomograms in ångström, over the header's")
    values("--model-apix", type=float, metavar="A", help="voxel size the model was trained at, in ångström")
    values("--normalize", choices=("volume", "window", "none"), default="volume", help="(default volume)")
    values("--invert", action="store_true", help="change the sign of the density")
    output = parser.add_argument_group("output").add_argument
    output("--overwrite", action="store_true", help="replace outputs that exist")
    output("--dry-run", action="store_true", help="say what would be computed, and stop")
    for flag in UNAVAILABLE:
        parser.add_argument(flag, nargs="?", const=True, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> None:
    """Scan the tomograms one after the other, after all names and headers have been checked."""
    for flag, sentence in UNAVAILABLE.items():
        if getattr(options, flag[2:].replace("-", "_")) is not None:
            raise InputError(f"{flag}: {sentence}")
    if options.trunk == "shared":
        raise InputError("--trunk shared is not available in this version; use --trunk exact")
    import torch

    from camfast.scan.plan import plan_windows

    outputs = output_names(options.out, options.tomograms)
    _check_outputs(outputs, options)
    loaded, layer = network.load_network(options)
    model_apix = loaded.voxel_angstrom if options.model_apix is None else options.model_apix
    volumes = [_volume(path, options.apix, model_apix) for path in options.tomograms]
    plans = [plan_windows(volume.shape, options.window, options.stride) for volume in volumes]
    example = torch.zeros(1, 1, *plans[0].window, device=options.device)
    labels = network.labels_for(options, loaded, example)
    target = network.target_of(options.target, labels)
    explainer = network.make_explainer(options, loaded.module, layer)
    origin = network.origin(options.model, options.weights)
    lines = []
    with redirect_stdout(sys.stderr):  # what the network's own code prints is no result
        if options.dry_run:
            _rehearse(options, explainer, target, volumes, plans[0], outputs)
            results = [_planned(*one, options.batch) for one in zip(volumes, plans, outputs, strict=True)]
            lines = ["one window of noise went through the network; the values of the tomograms were not looked at"]
        else:
            results = _all_scanned(volumes, outputs, explainer, options, target=target, labels=labels, about=origin)
    facts = {
        "method": options.method,
        "layer": layer,
        "target": target,
        "device": options.device,
        "dry_run": options.dry_run,
        "scans": results,
    }
    network.show(options, facts, [*(_line(result) for result in results), *lines])


def _check_outputs(outputs: list[Path], options: argparse.Namespace) -> None:
    from camfast.scan.files import output_format
    from camfast.scan.output import check_output

    inputs = {path.resolve() for path in options.tomograms}
    for path in outputs:
        output_format(path)
        if path.resolve() in inputs:
            raise InputError(f"-o {path}: is a tomogram that is scanned; write the result under another name")
        check_output(path, overwrite=options.overwrite)


def _rehearse(
    options: argparse.Namespace, explainer: Any, target: Any, volumes: "list[Volume]", plan: Any, outputs: list[Path]
) -> None:
    """Refuse what the scan itself would refuse, short of reading the tomograms."""
    from camfast.scan.files import as_mask, output_format
    from camfast.scan.running import rehearse

    channels = rehearse(explainer, plan, target, options.blend)
    for volume, path in zip(volumes, outputs, strict=True):
        output_format(path, channels=channels is not None)
        if options.mask is not None:
            as_mask(options.mask, volume)


def _all_scanned(
    volumes: "list[Volume]", outputs: list[Path], explainer: Any, options: argparse.Namespace, **passed: Any
) -> list[dict[str, Any]]:
    """Scan one after the other; where one cannot be, say which are done and which are left."""
    results: list[dict[str, Any]] = []
    for volume, path in zip(volumes, outputs, strict=True):
        try:
            results.append(_scanned(volume, path, explainer, options, **passed))
        except CamfastError as error:
            text = str(error) if volume.name in str(error) else f"{volume.name}: {error}"
            if len(volumes) > 1:
                done = ", ".join(result["out"] for result in results) or "nothing"
                left = ", ".join(other.name for other in volumes[len(results) :])
                text += f" (written: {done}; left: {left}; go on with what is left alone, or with --overwrite)"
            raise InputError(text) from error
    return results


def _scanned(
    volume: "Volume", path: Path, explainer: Any, options: argparse.Namespace, **passed: Any
) -> dict[str, Any]:
    from camfast.scan.scanner import scan

    began = time.perf_counter()
    result = scan(
        volume,
        explainer,
        window=options.window,
        stride=options.stride,
        blend=options.blend,
        normalize=None if options.normalize == "none" else options.normalize,
        invert=options.invert,
        mask=options.mask,
        out=path,
        batch=options.batch,
        progress=not (options.quiet or options.json),
        overwrite=options.overwrite,
        **passed,
    )
    seconds = time.perf_counter() - began
    depth, height, width = volume.shape
    return {
        "tomogram": volume.name,
        "out": str(path),
        "shape": list(result.cam.shape),
        "voxel_angstrom": volume.voxel_angstrom,
        "windows": int(result.scores[..., 0].numel()),
        "seconds": round(seconds, 3),
        "voxels_per_second": round(depth * height * width / seconds),
    }


def _planned(volume: "Volume", plan: Any, path: Path, batch: Any) -> dict[str, Any]:
    from camfast.scan.scanner import describe

    return {"tomogram": volume.name, "out": str(path), **describe(volume, plan, batch)}


def _line(result: dict[str, Any]) -> str:
    shape = " × ".join(str(n) for n in result["shape"])
    size = result["voxel_angstrom"]
    voxel = "unknown voxel size" if size is None else " × ".join(f"{s:g}" for s in dict.fromkeys(size)) + " Å"
    if "seconds" in result:
        speed = f"{result['seconds']:.1f} s, {result['voxels_per_second'] / 1e6:.3g} Mvoxel/s"
        return f"{result['out']}: {shape}, {voxel}, {result['windows']:,} windows, {speed}"
    return (
        f"{result['tomogram']}: {shape}, {voxel}; {result['windows']:,} windows in {result['passes']:,} passes of "
        f"{result['batch']}; reads {result['input_bytes']:,} bytes, writes {result['cam_bytes_per_target']:,} bytes "
        f"per map to {result['out']} (before compression, without coarser levels)"
    )


def output_names(pattern: str, tomograms: list[Path]) -> list[Path]:
    """Give each tomogram its output, ``{name}`` standing for the tomogram's name without ending.

    Raises
    ------
    InputError
        If several tomograms would be written under one name, or something else than ``{name}`` is in braces.
    """
    if unknown := re.search(r"\{[^{}]*\}", pattern.replace("{name}", "")):
        raise InputError(f"-o {pattern}: {unknown[0]} stands for nothing; only {{name}}, the tomogram's name, does")
    names = [path.name.split(".")[0] for path in tomograms]
    outputs = [Path(pattern.replace("{name}", name)) for name in names]
    if len(set(outputs)) < len(outputs):
        wrong = "two tomograms have the same name" if "{name}" in pattern else "there are several tomograms"
        raise InputError(f"-o {pattern}: {wrong}, and each needs its own output; write -o 'FOLDER/{{name}}.zarr'")
    return outputs


def _volume(path: Path, apix: float | None, model_apix: float | None) -> "Volume":
    from camfast.scan import read_volume
    from camfast.scan.volumes import check_voxel_size

    for flag, value in (("--apix", apix), ("--model-apix", model_apix)):
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{flag} is {value:g}, expected a voxel size in ångström")
    volume = read_volume(path)
    if apix is not None:
        volume = replace(volume, voxel_angstrom=(apix, apix, apix))
    check_voxel_size(volume, model_apix)
    return volume


def _batch(text: str) -> int | str:
    return text if text == "auto" else int(text)
