"""From the image or volume a person names to what a network takes."""

import argparse
import io
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast._foreign import foreign
from camfast._pictures import FORMATS
from camfast.cli import checks, network
from camfast.errors import InputError

if TYPE_CHECKING:
    from camfast.models import Preprocess
    from camfast.scan import Volume

LARGEST_SIDE = 8192
_OF_IMAGES = ("size", "channels", "scale", "mean", "std", "resample")
_OF_VOLUMES = ("normalize", "invert")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what an image or a volume needs before the network."""
    add_picture_options(parser)
    volume = parser.add_argument_group("what a volume needs before the network")
    volume.add_argument("--normalize", choices=("volume", "minmax", "none"), help="(default volume)")
    volume.add_argument("--invert", action="store_true", default=None, help="change the sign of the density")


def add_picture_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what an image needs before the network."""
    picture = parser.add_argument_group(
        "what an image needs before the network",
        "The defaults are what the model is known for; for a model of your own, those in brackets.",
    )
    picture.add_argument("--size", type=_size, metavar="N", help="resize to N × N, or height,width (the image's own)")
    picture.add_argument("--channels", choices=("RGB", "BGR", "L"), help="(RGB)")
    picture.add_argument(
        "--scale", type=network.number, metavar="F", help="factor on the values (1/255; 1/65535 for 16 bits)"
    )
    picture.add_argument(
        "--mean", type=network.numbers, metavar="M", help="subtracted after scaling, one or one a channel (0)"
    )
    picture.add_argument(
        "--std", type=network.numbers, metavar="S", help="divided by at last, one or one a channel (1)"
    )
    picture.add_argument(
        "--resample",
        choices=("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"),
        help="filter of --size (bilinear)",
    )


def check_options(options: argparse.Namespace, *, volume: bool) -> None:
    """Make sure that no option was given that belongs to the other kind of input.

    Raises
    ------
    InputError
        If one was.
    """
    others, kind, own = (_OF_IMAGES, "images", "a volume") if volume else (_OF_VOLUMES, "volumes", "an image")
    given = [f"--{name}" for name in others if getattr(options, name) is not None]
    if given:
        raise InputError(f"{', '.join(given)}: for {kind} only, and {options.image} is {own}; leave it out")


def read_image(path: Path) -> Any:
    """Read an image by PIL.

    Raises
    ------
    InputError
        If the file is missing or no image.
    """
    from camfast._extras import require

    pil = require("PIL.Image", "plot", "reading images")
    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    with (
        foreign(f"{path}: cannot be read as an image", "give PNG, JPEG or TIFF", "PIL"),
        # from memory, as room would be made for a part of any length that a file claims
        pil.open(io.BytesIO(path.read_bytes()), formats=FORMATS) as image,
    ):
        image.load()
        pages = getattr(image, "n_frames", 1)
        if pages > 1 and image.format != "MPO":  # a phone's photograph, with a preview behind it
            checks.warn(f"{path}: holds {pages} pages; the first is explained")
        return image.copy()


def says_of_pictures(options: argparse.Namespace) -> bool:
    """Whether an option says what an image needs before the network."""
    return any(getattr(options, name) is not None for name in _OF_IMAGES)


def preprocess(options: argparse.Namespace, known: "Preprocess | None", *, deep: bool = False) -> "Preprocess":
    """What the options say of an image, and for the rest what the model is known for.

    ``deep`` says that values are whole numbers of more than 8 bits.

    Raises
    ------
    InputError
        If the options don't fit each other or the model.
    """
    from camfast.models import Preprocess

    given = {name: getattr(options, name) for name in _OF_IMAGES if getattr(options, name) is not None}
    for name in ("mean", "std"):
        if isinstance(given.get(name), float):
            given[name] = (given[name],)
    if deep and known is None:
        given.setdefault("scale", 1 / 65535)
    elif deep and known is not None and _is_builtin(options, known):
        given.setdefault("scale", known.scale * 255 / 65535)
    channels = 1 if given.get("channels", known.channels if known else "RGB") == "L" else 3
    for name in ("mean", "std"):
        values = getattr(known, name, ())
        if name in given or len(values) in (0, channels):
            continue
        if len(set(values)) > 1:
            raise InputError(
                f"--channels {options.channels}: the model knows a {name} for each of {len(values)} channels, and the "
                f"network is to get {channels}; give --{name} too"
            )
        given[name] = values[:1]
    return replace(known, **given) if known else Preprocess(**given)


def check_range(options: argparse.Namespace, picture: Any, known: "Preprocess | None") -> None:
    """Warn of a picture whose values fill another range than the one that the scale without ``--scale`` is for.

    A camera of 12 bits saves files of 16, which are nearly black to the network; a float picture has any range.
    A ``Preprocess`` of a factory or of a file of weights is taken to know its pictures.
    """
    import numpy as np

    of_own = known is not None and not _is_builtin(options, known)
    if options.scale is not None or of_own or not picture.mode.startswith(("I", "F")):
        return
    largest = float(np.asarray(picture).max())
    white = 1.0 if known is None else 255 * known.scale  # what the network gets for white
    if picture.mode == "F":
        expected, filled = 255, 1 < largest <= 255
        top = 1.0 if largest <= 1 else largest
    else:
        expected, top = 65535, float(2 ** int(max(largest, 1)).bit_length() - 1)
        filled = top in (32767, 65535)
    if largest > 0 and not filled:
        checks.warn(
            f"{options.image}: its largest value is {largest:g}, and without --scale the network takes {expected} for "
            f"white; if white is {top:g} in this picture, give --scale {white / top:.4g}"
        )


def _is_builtin(options: argparse.Namespace, known: "Preprocess") -> bool:
    """Whether this is what a built-in network is known for, whose scale is that of 8 bits."""
    from camfast.models.builtin import BUILTINS

    return options.model in BUILTINS and BUILTINS[options.model].preprocess == known


def volume_values(source: "Volume", options: argparse.Namespace) -> Any:
    """The volume as float32, normalised as the options say.

    Raises
    ------
    InputError
        If a voxel is not finite, or all are equal.
    """
    import numpy as np

    from camfast.scan.volumes import statistics

    mean, std = statistics(source)
    values = np.asarray(source.data, dtype=np.float64)
    low, high = float(values.min()), float(values.max())
    if low == high and options.normalize != "none":
        raise InputError(f"{source.name}: every voxel is {mean:g}, so there is nothing to see; check the file")
    if options.normalize in (None, "volume"):
        values = (values - mean) / std
    elif options.normalize == "minmax":
        values = (values - low) / (high - low)
    return (-values if options.invert else values).astype(np.float32)


def sigma_of_map(sigma: Any, ratios: tuple[float, ...]) -> Any:
    """Sigma in pixels of the map, from ``--sigma`` in pixels of the network's input.

    Raises
    ------
    InputError
        If it has another number of axes than the input.
    """
    if sigma is None:
        return None
    values = sigma if isinstance(sigma, tuple) else (sigma,) * len(ratios)
    if len(values) != len(ratios):
        axes = "2 axes, height,width" if len(ratios) == 2 else "3 axes, z,y,x"
        raise InputError(f"--sigma gives {len(values)} numbers, and the input has {axes}; give one, or one an axis")
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise InputError(f"--sigma must be positive, found {', '.join(f'{value:g}' for value in values)}")
    return tuple(value * ratio for value, ratio in zip(values, ratios, strict=True))


def _size(text: str) -> int | tuple[int, int]:
    try:
        values = [int(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not all(0 < value <= LARGEST_SIDE for value in values):
        raise argparse.ArgumentTypeError(
            f"found {text!r}, expected one size in pixels or height,width, each from 1 to {LARGEST_SIDE}"
        )
    return values[0] if len(values) == 1 else (values[0], values[1])
