"""``camfast scan``: class activation maps of whole tomograms."""

import argparse
import sys
import time
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast.cli import checks, network, scan_files
from camfast.errors import CamfastError, InputError

if TYPE_CHECKING:
    from camfast.scan import Volume
    from camfast.scan.preparing import Asked

ALSO = ("scores", "labels", "picks", "report")


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "scan",
        parents=[common],
        help="class activation maps of whole tomograms",
        description="Slide a network over tomograms and write the class activation map of each, of the same shape. "
        "A scan that was interrupted goes on where it was when the same command is given again.",
    )
    parser.set_defaults(run=run)
    parser.add_argument(
        "tomograms", nargs="+", metavar="TOMO",
        help="MRC, EM, TIFF, NIfTI or OME-Zarr; a pattern in quotes; RELION 5's tomograms.star, or a list as .txt",
    )  # fmt: skip
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
    windows(
        "--trunk", choices=("exact", "shared"), default="exact",
        help="exact: every window through the whole network (default); shared: what is in front of the layer once over "
        "the volume, many times faster, with the difference measured",
    )  # fmt: skip
    values = parser.add_argument_group("values and units").add_argument
    values("--apix", type=float, metavar="A", help="voxel size of the tomograms in ångström, over the header's")
    values("--model-apix", type=float, metavar="A", help="voxel size the model was trained at, in ångström")
    values("--normalize", choices=("volume", "window", "none"), default="volume", help="(default volume)")
    values("--invert", action="store_true", help="change the sign of the density")
    output = parser.add_argument_group("output").add_argument
    output(
        "--also", type=_also, default=(), metavar="WHAT",
        help=f"what to write beside the map, separated by commas: {', '.join(ALSO)}",
    )  # fmt: skip
    output("--pick-distance", type=float, metavar="V", help="least distance of picks in voxels (default a third of W)")
    output(
        "--pick-by", choices=("window", "map"), default="window",
        help="window: the nearest window is predicted as the class (default); map: all peaks above two deviations",
    )  # fmt: skip
    output("--dtype", choices=("float32", "float16"), default="float32", help="of the map's values (default float32)")
    output("--overwrite", action="store_true", help="replace outputs that exist, and begin anew where another scan was")
    output("--resume", action="store_true", help="leave out tomograms whose output exists")
    output("--dry-run", action="store_true", help="say what would be computed, and what it takes, and stop")
    machine = parser.add_argument_group("machine").add_argument
    machine("--batch", type=_batch, default="auto", metavar="N", help="windows per pass (default auto)")
    machine("--max-memory", metavar="M", help="memory of the process, such as 4G; volume and map may be larger")
    machine("--scheduler", metavar="ADDRESS", help="Dask scheduler whose workers compute, such as tcp://node7:8786")
    machine("--workers", type=int, metavar="N", help="so many processes on this machine; with GPUs one for each")


def run(options: argparse.Namespace) -> None:
    """Scan the tomograms one after the other, after all names and headers have been checked."""
    import torch

    from camfast.scan.lists import list_tomograms

    tomograms = list_tomograms(options.tomograms)
    outputs = scan_files.output_names(options.out, tomograms)
    done = [path for path in outputs if options.resume and not options.overwrite and path.exists()]
    scan_files.check_outputs(tomograms, outputs, done, options)
    loaded, layer = network.load_network(options)
    model_apix = loaded.voxel_angstrom if options.model_apix is None else options.model_apix
    left = [pair for pair in zip(tomograms, outputs, strict=True) if pair[1] not in done]
    volumes = [scan_files.volume_of(tomogram, options.apix, model_apix) for tomogram, _ in left]
    results: list[dict[str, Any]] = []
    target: Any = options.target
    lines = [f"{path}: exists already, left as it is" for path in done]
    with redirect_stdout(sys.stderr):  # what the network's own code prints is no result
        if left:
            example = torch.zeros(1, 1, *_window(options), device=options.device)
            labels = network.labels_for(options, loaded, example)
            target = network.target_of(options.target, labels)
            explainer = network.make_explainer(options, loaded.module, layer)
            about = network.origin(options.model, options.weights)
            asked = [_asked(options, volume, explainer, target, labels, about) for volume in volumes]
            paths = [path for _, path in left]
            results = _planned(asked, paths) if options.dry_run else _all_scanned(asked, paths, options)
    if options.dry_run:
        lines.append("one window of noise went through the network; the values of the tomograms were not looked at")
    facts = {
        "method": options.method,
        "layer": layer,
        "target": target,
        "device": options.device,
        "dry_run": options.dry_run,
        "scans": results,
        "left": [str(path) for path in done],
    }
    network.show(options, facts, [*(_line(result) for result in results), *lines])


def _window(options: argparse.Namespace) -> tuple[int, int, int]:
    from camfast.scan.windows.plan import triple

    return triple(options.window, "--window")


def _asked(
    options: argparse.Namespace, volume: "Volume", explainer: Any, target: Any, labels: Any, about: dict[str, str]
) -> "Asked":
    from camfast.scan.preparing import Asked

    return Asked(
        volume,
        explainer,
        window=options.window,
        stride=options.stride,
        target=target,
        trunk=options.trunk,
        blend=options.blend,
        normalize=None if options.normalize == "none" else options.normalize,
        invert=options.invert,
        mask=options.mask,
        batch=options.batch,
        max_memory=options.max_memory,
        also=options.also,
        pick_distance=options.pick_distance,
        pick_by=options.pick_by,
        dtype=options.dtype,
        labels=labels,
        about=about,
    )


def _all_scanned(asked: "list[Asked]", outputs: list[Path], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Scan one after the other; where one cannot be, say which are done and which are left."""
    results: list[dict[str, Any]] = []
    with ExitStack() as stack:
        client = _client(options, stack)
        for one, path in zip(asked, outputs, strict=True):
            try:
                results.append(_scanned(one, path, client, options))
            except (CamfastError, OSError) as error:
                name = one.volume.name
                if isinstance(error, OSError):
                    error = InputError(
                        f"{path}: {error.strerror or error}; what was finished is kept beside it, and the same command "
                        "goes on once that is mended"
                    )
                text = str(error) if name in str(error) else f"{name}: {error}"
                if len(asked) > 1:
                    done = ", ".join(result["out"] for result in results) or "nothing"
                    left = ", ".join(other.volume.name for other in asked[len(results) :])
                    text += f" (written: {done}; left: {left}; go on with --resume)"
                raise InputError(text) from error
    return results


def _client(options: argparse.Namespace, stack: ExitStack) -> Any:
    """Workers that were asked for; None: this process does it all."""
    if options.scheduler is None and options.workers is None:
        return None
    from camfast.scan.tasks.cluster import connect, local

    if options.scheduler is not None and options.workers is not None:
        raise InputError("--scheduler names a cluster, and --workers starts one on this machine; give one of them")
    client = connect(options.scheduler) if options.scheduler else local(options.workers, options.device)
    return stack.enter_context(client)


def _scanned(asked: "Asked", path: Path, client: Any, options: argparse.Namespace) -> dict[str, Any]:
    from dataclasses import asdict

    from camfast.scan.to_file import to_file

    began = time.perf_counter()
    shown = not (options.quiet or options.json)
    result = to_file(asked, path, client, resume=True, progress=shown, overwrite=options.overwrite)
    seconds = time.perf_counter() - began
    if result.picks is not None and not len(result.picks):
        by_map = (
            "" if options.pick_by == "map" or asked.target == "predicted" else "; --pick-by map goes by the map alone"
        )
        checks.warn(
            f"{asked.volume.name}: no picks; if there are such particles, look at contrast (--invert), voxel size and "
            f"--normalize{by_map}"
        )
    depth, height, width = asked.volume.shape
    return {
        "tomogram": asked.volume.name,
        "out": str(path),
        "shape": list(result.cam.shape),
        "voxel_angstrom": asked.volume.voxel_angstrom,
        "windows": int(result.scores[..., 0].numel()),
        "picks": None if result.picks is None else len(result.picks),
        "difference_from_exact": None if result.difference is None else asdict(result.difference),
        "sum_to_score_residual": result.residual,
        "seconds": round(seconds, 3),
        "voxels_per_second": round(depth * height * width / seconds),
    }


def _planned(asked: "list[Asked]", outputs: list[Path]) -> list[dict[str, Any]]:
    from camfast.scan.describing import describe
    from camfast.scan.files import output_format

    found = []
    for one, path in zip(asked, outputs, strict=True):
        facts = describe(one)
        output_format(path, channels=facts["targets"] > 1 or one.target == "all" or isinstance(one.target, list))
        found.append({"tomogram": one.volume.name, "out": str(path), **facts})
    return found


def _line(result: dict[str, Any]) -> str:
    shape = " × ".join(str(n) for n in result["shape"])
    size = result["voxel_angstrom"]
    voxel = "unknown voxel size" if size is None else " × ".join(f"{s:g}" for s in dict.fromkeys(size)) + " Å"
    if "voxels_per_second" in result:
        speed = f"{result['seconds']:.1f} s, {result['voxels_per_second'] / 1e6:.3g} Mvoxel/s"
        picks = "" if result["picks"] is None else f", {result['picks']:,} picks"
        found = result["difference_from_exact"]
        shared = f"; maps differ from exact ones by {found['maps']:.1%} ({found['windows']} windows)" if found else ""
        return f"{result['out']}: {shape}, {voxel}, {result['windows']:,} windows{picks}, {speed}{shared}"
    passes = "pass" if result["passes"] == 1 else "passes"
    return (
        f"{result['tomogram']}: {shape}, {voxel}; {result['windows']:,} windows in {result['passes']:,} {passes} of "
        f"{result['batch']}; {result['flop'] / 1e12:.3g} TFLOP; reads {result['input_bytes']:,} bytes, writes "
        f"{result['cam_bytes_per_target']:,} bytes per map to {result['out']} (before compression, without coarser "
        f"levels); about {result['memory_bytes'] / 1e6:,.0f} MB beside the program, {_duration(result['seconds'])}"
    )


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _batch(text: str) -> int | str:
    return text if text == "auto" else int(text)


def _also(text: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for one in found:
        if one not in ALSO:
            raise argparse.ArgumentTypeError(f"found {one!r}, expected {', '.join(ALSO)}, separated by commas")
    return found
