"""What the commands share: the network, what is explained, and how results are printed."""

import argparse
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast._text import printable
from camfast.cli.checks import first_line, input_errors, warn
from camfast.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from camfast.engine import Explainer
    from camfast.models import Loaded


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose network, layer, method and target."""
    group = parser.add_argument_group("network and map")
    group.add_argument(
        "--model", required=True, metavar="M", help="built-in name, package.module:factory or file.py:factory"
    )
    group.add_argument("--weights", metavar="FILE", help="safetensors, or a state dict saved by torch.save")
    group.add_argument("--layer", metavar="NAME", help="layer to explain (default: the one the model is known by)")
    group.add_argument("--method", default="gradcam", help="kind of map, such as gradcam or respond (default gradcam)")
    group.add_argument(
        "--target",
        default="predicted",
        metavar="T",
        help="class index or label, several separated by commas, 'all' or 'predicted' (default)",
    )
    group.add_argument("--labels", type=Path, metavar="FILE", help="names of the classes, one a line")
    group.add_argument(
        "--upsample", choices=("linear", "gaussian"), help="default: the method's own; gaussian needs --sigma"
    )
    group.add_argument(
        "--sigma",
        type=numbers,
        metavar="S",
        help="sigma of Gaussian upsampling in pixels of the input, one or one an axis",
    )
    group.add_argument("--device", default="cpu", help="where the network runs, such as cpu or cuda:0 (default cpu)")
    group.add_argument("--backend", help="kernels to use (default: the best that runs; camfast info lists them)")


def load_network(options: argparse.Namespace) -> "tuple[Loaded, str]":
    """Load the model; return it with the name of the layer to explain. What its code prints stays off stdout.

    Raises
    ------
    InputError
        If the model cannot be made, its layer is not known, or the device cannot be used.
    """
    import torch

    from camfast import models
    from camfast.layers import find, unwrap

    with redirect_stdout(sys.stderr):
        loaded = models.load(options.model, options.weights)
    layer = options.layer or loaded.layer
    if layer is None:
        hint = _layers_to_choose(loaded.module)
        raise InputError(f"--layer is missing, and {options.model} does not say which layer to explain; {hint}")
    try:
        find(unwrap(loaded.module), layer)
    except ValueError:
        close = get_close_matches(layer, [name for name, _ in loaded.module.named_modules()], n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else _layers_to_choose(loaded.module)
        raise InputError(f"--layer {layer!r}: the model has no such layer; {hint}") from None
    except TypeError as error:
        raise InputError(f"{options.model}: {error}") from None
    try:
        loaded.module.to(torch.device(options.device))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {options.device} cannot be used: {first_line(error)}") from None
    if is_untrained(options):
        warn("no --weights: the network is untrained, its maps mean nothing")
    return loaded, layer


def is_untrained(options: argparse.Namespace) -> bool:
    """Whether a built-in network without weights of its own is used without ``--weights``."""
    from camfast.models.builtin import BUILTINS

    builtin = BUILTINS.get(getattr(options, "model", None) or "")
    return builtin is not None and builtin.weights is None and options.weights is None


def origin(model: str, weights: str | None) -> dict[str, str]:
    """Where the network is from: names without folders, and the sum that tells which weights they were."""
    from camfast.models.builtin import BUILTINS
    from camfast.models.weights import fingerprint

    path, colon, factory = model.rpartition(":")
    found = {"model": f"{Path(path).name}{colon}{factory}"}
    file = weights or (BUILTINS[model].weights if model in BUILTINS else None)
    if file is not None:
        found["weights"] = f"{Path(file).name} sha256:{fingerprint(file)}"
    return found


def _layers_to_choose(module: "nn.Module") -> str:
    """The last layers that may have a grid: those before what flattens it."""
    found: list[str] = []
    for name, layer in module.named_modules():
        kind = type(layer).__name__
        if kind in ("Flatten", "Linear"):
            break
        if kind.startswith("Adaptive") and getattr(layer, "output_size", None) in (1, (1, 1), (1, 1, 1)):
            continue  # a single cell, whose map is the same everywhere
        if name and not any(True for _ in layer.children()) and not kind.startswith(("Dropout", "Identity", "Softmax")):
            found.append(f"{name} ({kind})")
    return f"choose one such as {', '.join(found[-8:])}" if found else "give the dotted name of a layer with a grid"


def labels_for(options: argparse.Namespace, loaded: "Loaded", example: "Tensor") -> tuple[str, ...] | None:
    """Names of the classes: those of ``--labels``, or the ones the weights come with.

    A first line "background" is dropped where it is one name too many, as in lists made for TensorFlow.

    Raises
    ------
    InputError
        If the file names another number of classes than the network has.
    """
    import torch

    if options.labels is None:
        return loaded.labels
    labels = read_labels(options.labels)
    try:
        with torch.no_grad(), redirect_stdout(sys.stderr):
            classes = loaded.module(example).shape[1]
    except Exception:
        return labels  # what is wrong here is said where the network is explained
    if len(labels) == classes + 1 and labels[0].lower() == "background":
        return labels[1:]
    if len(labels) != classes:
        raise InputError(
            f"{options.labels}: names {len(labels)} classes and the network has {classes}; give one a line"
        )
    return labels


def make_explainer(options: argparse.Namespace, module: Any, layer: str, **more: Any) -> "Explainer":
    """Make the explainer that the options ask for, with what ``more`` says instead of them.

    Raises
    ------
    InputError
        If method, upsampling and sigma don't fit each other.
    """
    from camfast import Explainer
    from camfast.methods import METHODS

    chosen = {"upsample": options.upsample, "sigma": options.sigma, "backend": options.backend, **more}
    form = METHODS.get(options.method)  # None: the explainer says which there are
    upsample = chosen["upsample"] or (form and form.upsample)
    if upsample == "linear" and chosen["sigma"] is not None:
        raise InputError("--sigma belongs to Gaussian upsampling; add --upsample gaussian, or leave it out")
    if upsample == "gaussian" and chosen["sigma"] is None:
        asked = "--upsample gaussian" if options.upsample else f"--method {options.method}"
        raise InputError(
            f"{asked} needs --sigma, the effective receptive field of the layer in pixels of the input; give it, or "
            "choose --upsample linear"
        )
    with input_errors():
        return Explainer(module, layer, options.method, **chosen)


def target_of(text: str, labels: Sequence[str] | None) -> int | str | list[int]:
    """Read ``--target``: 'predicted', 'all', a class by index or label, or several separated by commas.

    Raises
    ------
    InputError
        If a part is no number and no label, or names several classes.
    """
    if text in ("predicted", "all"):
        return text
    single = _class_of(text, labels)
    if single is not None:
        return single
    parts = [_class_of(part.strip(), labels) for part in text.split(",")]
    if len(parts) > 1 and None not in parts:
        return [part for part in parts if part is not None]
    if not labels:
        raise InputError(
            f"--target {text!r}: expected a class index, 'predicted' or 'all'; --labels gives classes names"
        )
    close = get_close_matches(text, labels, n=3)
    hint = f"did you mean {' or '.join(close)}?" if close else f"there are {len(labels)} labels, such as {labels[0]!r}"
    raise InputError(f"--target {text!r}: neither a class index nor a label; {hint}")


def _class_of(text: str, labels: Sequence[str] | None) -> int | None:
    """Index of a class given by its label, by number, or by one of a label's synonyms."""
    same = [index for index, label in enumerate(labels or ()) if text == label]
    if not same and text.isascii() and text.isdigit():
        return int(text)
    found = same or [index for index, label in enumerate(labels or ()) if text in label.split(", ")]
    if len(found) > 1:
        raise InputError(
            f"--target {text!r}: names {len(found)} classes: {', '.join(map(str, found))}; give the number of the one "
            "you mean"
        )
    return found[0] if found else None


def read_labels(path: Path) -> tuple[str, ...]:
    """Read names of classes, one a line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of labels ({error}); give a text file") from None
    return tuple(line.strip() for line in lines if line.strip())


def label_of(index: int, labels: Sequence[str] | None) -> str:
    """Name of a class, or its number where it has none."""
    return labels[index] if labels and index < len(labels) else f"class {index}"


def number(text: str) -> float:
    """Read one finite number, for argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a finite number")
    return value


def numbers(text: str) -> float | tuple[float, ...]:
    """Read one finite number, or several separated by commas, for argparse."""
    values = tuple(number(part) for part in text.split(","))
    return values[0] if len(values) == 1 else values


def voxels(text: str) -> int | tuple[int, ...]:
    """Read one whole number, or three separated by commas for z, y, x, for argparse."""
    try:
        values = tuple(int(part) for part in text.split(","))
    except ValueError:
        values = ()
    if len(values) not in (1, 3):
        raise argparse.ArgumentTypeError(f"found {text!r}, expected a whole number of voxels, or three as z,y,x")
    return values[0] if len(values) == 1 else values


def show(options: argparse.Namespace, facts: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print a result: as JSON, as lines for a person, or not at all."""
    if options.json:
        if is_untrained(options):
            facts = {**facts, "untrained": True}
        print(json.dumps(facts, ensure_ascii=False))
    elif not options.quiet:
        print("\n".join(printable(line, keep="\n\t") for line in lines))
