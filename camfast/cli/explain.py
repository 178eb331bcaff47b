"""``camfast explain``: the class activation map of one image or one volume."""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast.cli import network
from camfast.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from camfast.models import Preprocess
    from camfast.scan import Volume


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command to the parser."""
    parser = commands.add_parser(
        "explain",
        parents=[common],
        help="class activation map of one image or volume",
        description="Explain what a network sees in one image (map drawn over it as PNG) or one volume that goes "
        "through the network as a whole (map as MRC, OME-Zarr, or a PNG of central slices).",
    )
    parser.set_defaults(run=run)
    parser.add_argument("image", type=Path, metavar="IMAGE", help="PNG, JPEG, TIFF, …; or MRC, EM, NIfTI, OME-Zarr")
    parser.add_argument(
        "-o", "--out", required=True, type=Path, metavar="OUT", help=".png; for a volume also .mrc, .zarr"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an output that exists")
    network.add_options(parser)
    parser.add_argument(
        "--region", choices=("image", "predicted"), help="for segmentation: sum the class's score over these pixels"
    )
    picture = parser.add_argument_group("what an image needs before the network (default: what the model is known for)")
    picture.add_argument("--size", type=_size, metavar="N", help="resize to N × N, or height,width")
    picture.add_argument("--channels", choices=("RGB", "BGR", "L"))
    picture.add_argument("--scale", type=float, metavar="F", help="factor on the values, 1/255 = 0.00392157")
    picture.add_argument(
        "--mean", type=network.numbers, metavar="M", help="subtracted after scaling, one or one a channel"
    )
    picture.add_argument("--std", type=network.numbers, metavar="S", help="divided by at last, one or one a channel")
    picture.add_argument("--resample", choices=("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"))
    volume = parser.add_argument_group("what a volume needs before the network")
    volume.add_argument("--normalize", choices=("volume", "minmax", "none"), default="volume", help="(default volume)")
    volume.add_argument("--invert", action="store_true", help="change the sign of the density")


def run(options: argparse.Namespace) -> None:
    """Explain the image or volume and write its map."""
    from camfast.scan.files import is_volume_file
    from camfast.scan.output import check_output

    if options.out.resolve() == options.image.resolve():
        raise InputError(f"-o {options.out} is the image that is explained; write the map under another name")
    if is_volume_file(options.image):
        _check_ending(options.out, (".png", ".mrc", ".map", ".rec", ".zarr"))
        check_output(options.out, overwrite=options.overwrite)
        _explain_volume(options)
    else:
        _check_ending(options.out, (".png",))
        check_output(options.out, overwrite=options.overwrite)
        _explain_image(options)


def _explain_image(options: argparse.Namespace) -> None:
    from camfast import plot
    from camfast.scan.output import staged

    picture = _read_image(options.image)
    loaded, layer = network.load_network(options)
    inputs = _preprocess(options, loaded.preprocess)(picture).to(options.device)
    labels = network.labels_for(options, loaded, inputs)
    height, width = picture.height, picture.width
    if options.sigma is not None:  # given for the network's input, and the map is drawn on the picture
        ratios = (height / inputs.shape[2], width / inputs.shape[3])
        sigma = options.sigma if isinstance(options.sigma, tuple) else (options.sigma, options.sigma)
        options.sigma = tuple(s * ratio for s, ratio in zip(sigma, ratios, strict=False))
    facts, maps = _explained(options, loaded.module, layer, labels, inputs, size=(height, width))
    if len(maps) > 1:
        raise InputError(f"--target {options.target}: a PNG shows one map; name one class")
    with staged(options.out, overwrite=options.overwrite) as path:
        figure = plot.overlay(picture.convert("RGB"), maps[0], title=facts["title"])
        plot.save(figure, path, **facts)
    _print(options, facts)


def _explain_volume(options: argparse.Namespace) -> None:
    import torch

    from camfast import plot
    from camfast.scan import read_volume, write_volumes
    from camfast.scan.output import staged

    source = read_volume(options.image)
    values = _values(source, options)
    loaded, layer = network.load_network(options)
    inputs = torch.from_numpy(values)[None, None].to(options.device)
    labels = network.labels_for(options, loaded, inputs)
    facts, maps = _explained(options, loaded.module, layer, labels, inputs, size=None)
    several = facts["several"]
    if several and options.out.suffix != ".zarr":
        raise InputError(
            f"--target {options.target}: {options.out.suffix} holds one map; name one class, or write .zarr"
        )
    with staged(options.out, overwrite=options.overwrite) as path:
        if options.out.suffix == ".png":
            figure = plot.slices(source.data, maps[0], voxel_angstrom=source.voxel_angstrom, title=facts["title"])
            plot.save(figure, path, **facts)
        else:
            about = {key: facts[key] for key in ("method", "layer", "target")}
            channels = len(maps) if several else None
            write_volumes(path, [m.numpy() for m in maps], source, channels=channels, attributes=about)
    _print(options, facts)


def _explained(
    options: argparse.Namespace, module: Any, layer: str, labels: Any, inputs: "Tensor", *, size: Any
) -> "tuple[dict[str, Any], list[Tensor]]":
    """Run the explainer; return the facts to print and the maps, one a target."""
    from camfast import Region

    target: Any = network.target_of(options.target, labels)
    if options.region is not None:
        if not isinstance(target, int):
            raise InputError(f"--region needs one class, and --target is {options.target!r}")
        target = Region(target, options.region)
    explainer = network.make_explainer(options, module, layer, size=size)
    with network.input_errors():
        result = explainer(inputs, target)
    maps = result.maps[0].float().cpu()
    several = maps.ndim > inputs.ndim - 2
    facts: dict[str, Any] = {
        "image": str(options.image),
        "out": str(options.out),
        "method": options.method,
        "layer": layer,
        "target": options.target,
        "several": several,
        "largest": float(maps.max()),
        "smallest": float(maps.min()),
        **_prediction(result.scores, labels),
    }
    title = f"{options.method} of {options.target}" if isinstance(options.target, str) else options.method
    if isinstance(target, int):
        title = f"{options.method}: {network.label_of(target, labels)}"
    elif target == "predicted" and "label" in facts:
        title = f"{options.method}: {facts['label']} (predicted, {facts['probability']:.2f})"
    return {**facts, "title": title}, list(maps) if several else [maps]


def _prediction(scores: "Tensor", labels: Any) -> dict[str, Any]:
    """Predicted class and its probability, where the output is one score a class."""
    if scores.ndim != 2 or scores.shape[1] < 2:
        return {}
    probability, index = scores[0].float().softmax(0).max(0)
    number = int(index)
    return {"predicted": number, "label": network.label_of(number, labels), "probability": float(probability)}


def _print(options: argparse.Namespace, facts: dict[str, Any]) -> None:
    lines = [f"{facts['out']}: {facts['title']}, values from {facts['smallest']:.4g} to {facts['largest']:.4g}"]
    if "predicted" in facts:
        named = f"predicted: {facts['label']} (class {facts['predicted']}), probability {facts['probability']:.4f}"
        lines.insert(0, named)
    network.show(options, {key: value for key, value in facts.items() if key not in ("several", "title")}, lines)


def _read_image(path: Path) -> Any:
    from camfast._extras import require

    pil = require("PIL.Image", "plot", "reading images")
    try:
        with pil.open(path) as image:
            image.load()
            return image.copy()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the name") from None
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            f"{path}: cannot be read as an image ({network.first_line(error)}); give PNG, JPEG or TIFF"
        ) from None


def _preprocess(options: argparse.Namespace, known: "Preprocess | None") -> "Preprocess":
    from camfast.models import Preprocess

    names = ("size", "channels", "scale", "mean", "std", "resample")
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    for name in ("mean", "std"):
        if isinstance(given.get(name), float):
            given[name] = (given[name],)
    return replace(known or Preprocess(), **given)


def _values(source: "Volume", options: argparse.Namespace) -> Any:
    """The volume as float32, normalised as the options say."""
    import numpy as np

    from camfast.scan.volumes import statistics

    mean, std = statistics(source)
    values = np.asarray(source.data, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if low == high and options.normalize != "none":
        raise InputError(f"{source.name}: every voxel is {mean:g}, so there is nothing to see; check the file")
    if options.normalize == "volume":
        values = (values - mean) / std
    elif options.normalize == "minmax":
        values = (values - low) / (high - low)
    return (-values if options.invert else values).astype(np.float32)


def _check_ending(path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        raise InputError(f"-o {path}: unknown kind of output; give a name that ends in {' or '.join(endings)}")


def _size(text: str) -> int | tuple[int, int]:
    values = [int(part) for part in text.split(",")]
    if len(values) == 1:
        return values[0]
    height, width = values
    return height, width
