"""What the commands share: the network, what is explained, and how results are printed."""

import argparse
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camfast.errors import CamfastError, InputError

if TYPE_CHECKING:
    from torch import Tensor

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
    group.add_argument("--upsample", choices=("linear", "gaussian"), help="default: the method's own")
    group.add_argument(
        "--sigma",
        type=numbers,
        metavar="S",
        help="sigma of Gaussian upsampling in pixels of the input, one or one an axis",
    )
    group.add_argument("--device", default="cpu", help="where the network runs, such as cpu or cuda:0 (default cpu)")
    group.add_argument("--backend", help="kernels to use (default: the best that runs; camfast info lists them)")


def load_network(options: argparse.Namespace) -> "tuple[Loaded, str]":
    """Load the model; return it with the name of the layer to explain."""
    import torch

    from camfast import models

    loaded = models.load(options.model, options.weights)
    layer = options.layer or loaded.layer
    if layer is None:
        raise InputError(f"--layer is missing, and {options.model} does not say which layer to explain")
    try:
        loaded.module.to(torch.device(options.device))
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device {options.device} cannot be used: {first_line(error)}") from None
    return loaded, layer


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
        with torch.no_grad():
            classes = loaded.module(example).shape[1]
    except (RuntimeError, AttributeError, IndexError):
        return labels  # what is wrong here is said where the network is explained
    if len(labels) == classes + 1 and labels[0].lower() == "background":
        return labels[1:]
    if len(labels) != classes:
        raise InputError(
            f"{options.labels}: names {len(labels)} classes and the network has {classes}; give one a line"
        )
    return labels


def make_explainer(options: argparse.Namespace, module: Any, layer: str, **more: Any) -> "Explainer":
    """Make the explainer that the options ask for."""
    from camfast import Explainer

    chosen = {"upsample": options.upsample, "sigma": options.sigma, "backend": options.backend, **more}
    if chosen["sigma"] is not None and chosen["upsample"] is None:
        chosen["upsample"] = "gaussian"
    with input_errors():
        return Explainer(module, layer, options.method, **chosen)


@contextmanager
def input_errors() -> Iterator[None]:
    """Within the block, a ValueError is about what a person typed."""
    try:
        yield
    except CamfastError:
        raise
    except ValueError as error:
        raise InputError(str(error)) from error


def target_of(text: str, labels: Sequence[str] | None) -> int | str | list[int]:
    """Read ``--target``: 'predicted', 'all', a class by index or label, or several separated by commas.

    Raises
    ------
    InputError
        If a part is no number and no label.
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
    """Index of a class given by number, label, or one of a label's synonyms that no other label has."""
    if labels and text in labels:
        return list(labels).index(text)
    if text.isascii() and text.isdigit():
        return int(text)
    found = [index for index, label in enumerate(labels or ()) if text in label.split(", ")]
    return found[0] if len(found) == 1 else None


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


def numbers(text: str) -> float | tuple[float, ...]:
    """Read one number, or several separated by commas, for argparse."""
    values = tuple(float(part) for part in text.split(","))
    return values[0] if len(values) == 1 else values


def voxels(text: str) -> int | tuple[int, ...]:
    """Read one whole number, or three separated by commas for z, y, x, for argparse."""
    values = tuple(int(part) for part in text.split(","))
    if len(values) not in (1, 3):
        raise ValueError
    return values[0] if len(values) == 1 else values


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def show(options: argparse.Namespace, facts: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print a result: as JSON, as lines for a person, or not at all."""
    if options.json:
        print(json.dumps(facts, ensure_ascii=False))
    elif not options.quiet:
        print("\n".join(lines))
