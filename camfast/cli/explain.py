"""``camfast explain``: the class activation map of one image or one volume."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast.cli import checks, inputs, network
from camfast.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from camfast.models import Loaded


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
    inputs.add_options(parser)


def run(options: argparse.Namespace) -> None:
    """Explain the image or volume and write its map."""
    from camfast.scan.files import is_volume_file
    from camfast.scan.tasks.output import check_output

    if options.out.resolve() == options.image.resolve():
        raise InputError(f"-o {options.out} is the image that is explained; write the map under another name")
    inputs.check_options(options, volume=is_volume_file(options.image))
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
    from camfast.scan.tasks.output import staged

    picture = inputs.read_image(options.image)
    loaded, layer = network.load_network(options)
    inputs.check_range(options, picture, loaded.preprocess)
    whole_numbers = picture.mode.startswith("I")  # PIL's modes of more than 8 bits
    tensor = inputs.preprocess(options, loaded.preprocess, deep=whole_numbers)(picture).to(options.device)
    size = (picture.height, picture.width)
    ratios = (size[0] / tensor.shape[2], size[1] / tensor.shape[3])  # sigma is the input's, and the map the picture's
    facts, about, maps = _explained(options, loaded, layer, tensor, size, ratios)
    if len(maps) > 1:
        raise InputError(f"--target {options.target}: a PNG shows one map; name one class")
    with staged(options.out, overwrite=options.overwrite) as path:
        deep = picture.mode.startswith(("I", "F"))  # which a conversion to 8 bits would clip
        figure = plot.overlay(picture if deep else picture.convert("RGB"), maps[0], title=facts["title"])
        plot.save(figure, path, provenance={**facts, **about})
    _print(options, facts)


def _explain_volume(options: argparse.Namespace) -> None:
    import torch

    from camfast import plot
    from camfast.scan import read_volume, write_volumes
    from camfast.scan.tasks.output import staged

    source = read_volume(options.image)
    values = inputs.volume_values(source, options)
    loaded, layer = network.load_network(options)
    tensor = torch.from_numpy(values)[None, None].to(options.device)
    facts, about, maps = _explained(options, loaded, layer, tensor, None, (1.0, 1.0, 1.0))
    several = facts["several"]
    if several and options.out.suffix != ".zarr":
        raise InputError(
            f"--target {options.target}: {options.out.suffix} holds one map; name one class, or write .zarr"
        )
    with staged(options.out, overwrite=options.overwrite) as path:
        if options.out.suffix == ".png":
            figure = plot.slices(source.data, maps[0], voxel_angstrom=source.voxel_angstrom, title=facts["title"])
            plot.save(figure, path, provenance={**facts, **about})
        else:
            channels = len(maps) if several else None
            write_volumes(path, [m.numpy() for m in maps], source, channels=channels, attributes=about)
    _print(options, facts)


def _explained(
    options: argparse.Namespace, loaded: "Loaded", layer: str, tensor: "Tensor", size: Any, ratios: tuple[float, ...]
) -> "tuple[dict[str, Any], dict[str, Any], list[Tensor]]":
    """Run the explainer; return the facts to print, how the maps came about, and the maps, one a target."""
    from camfast import Region, provenance

    checks.check_finite_inputs(options.image, tensor)
    labels = network.labels_for(options, loaded, tensor)
    target: Any = network.target_of(options.target, labels)
    if options.region is not None and not isinstance(target, int):
        raise InputError(f"--region needs one class, and --target is {options.target!r}")
    chosen = target if options.region is None else Region(target, options.region)
    sigma = inputs.sigma_of_map(options.sigma, ratios)
    explainer = network.make_explainer(options, loaded.module, layer, size=size, sigma=sigma)
    with checks.network_errors(options.model, tensor):
        result = explainer(tensor, chosen)
    checks.check_finite_result(options.image, result)
    maps = result.maps[0].float().cpu()
    several = maps.ndim > tensor.ndim - 2
    classes = target if options.region else result.targets[0].tolist()
    facts: dict[str, Any] = {
        "image": str(options.image),
        "out": str(options.out),
        "method": options.method,
        "layer": layer,
        "target": target,
        "class": classes,
        "class_label": [_known(one, labels) for one in classes] if several else _known(classes, labels),
        "several": several,
        "largest": float(maps.max()),
        "smallest": float(maps.min()),
        "empty": not maps.any(),
        **_prediction(result.scores, labels),
    }
    title = f"{options.method} of {options.target}"
    if not several:
        title = f"{options.method}: {network.label_of(classes, labels)}"
        if target == "predicted" and "probability" in facts:
            title += f" (predicted, {facts['probability']:.2f})"
    about = {**provenance(explainer, chosen), **network.origin(options.model, options.weights)}
    return {**facts, "title": title}, about, list(maps) if several else [maps]


def _known(index: int, labels: Any) -> str | None:
    return labels[index] if labels and index < len(labels) else None


def _prediction(scores: "Tensor", labels: Any) -> dict[str, Any]:
    """Predicted class and its probability, where the output is one score a class."""
    if scores.ndim != 2 or scores.shape[1] < 2:
        return {}
    probability, index = scores[0].float().softmax(0).max(0)
    number = int(index)
    return {"predicted": number, "predicted_label": _known(number, labels), "probability": float(probability)}


def _print(options: argparse.Namespace, facts: dict[str, Any]) -> None:
    lines = [f"{facts['out']}: {facts['title']}, values from {facts['smallest']:.4g} to {facts['largest']:.4g}"]
    if "predicted" in facts:
        number, label = facts["predicted"], facts["predicted_label"]
        named = f"class {number}" if label is None else f"{label} (class {number})"
        lines.insert(0, f"predicted: {named}, probability {facts['probability']:.4f}")
    if facts["empty"]:
        checks.warn("the map is empty (0 everywhere); try --method respond or another --layer")
    elif facts["largest"] - facts["smallest"] <= 1e-5 * abs(facts["largest"]):  # but for rounding
        checks.warn(
            f"the map is the same everywhere, as layer {facts['layer']!r} has no more than one cell, or sees no "
            "difference; choose an earlier --layer"
        )
    network.show(options, {key: value for key, value in facts.items() if key not in ("several", "title")}, lines)


def _check_ending(path: Path, endings: tuple[str, ...]) -> None:
    if path.suffix.lower() not in endings:
        raise InputError(f"-o {path}: unknown kind of output; give a name that ends in {' or '.join(endings)}")
