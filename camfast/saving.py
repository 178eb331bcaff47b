"""Maps in files that say how they came about, and what a file says of that."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from camfast._extras import require
from camfast._whole import write_whole
from camfast.engine import Explainer
from camfast.errors import InputError
from camfast.explanation import Explanation
from camfast.provenance import from_lines, provenance

_BY_LAYER = tuple(field.name for field in fields(Explanation) if field.name not in ("scores", "targets"))
_KEY = "camfast"  # of what a file's metadata say; as the Zarr attribute
_SLASH = "/"


def save_maps(path: str | os.PathLike[str], result: Explanation, explainer: Explainer, **more: Any) -> None:
    """Save an explanation as safetensors, with how it came about; a rerun gives the same bytes.

    Parameters
    ----------
    path
        File to write, whose name ends with ``.safetensors``; it is replaced as a whole or not at all.
    result
        What the explainer gave. Every field becomes a tensor of its name: ``maps``, ``grid``, ``scores``, …, of several
        layers ``maps/features.9``, …; targets that are no tensor are kept in the provenance alone.
    explainer
        The explainer that gave it, its model still with the weights of then.
    more
        Further facts by name, such as the image's.

    Raises
    ------
    InputError
        If the name has another ending, or its folder doesn't exist.
    TypeError
        If ``result`` is no explanation, or ``explainer`` no explainer.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> explainer = camfast.Explainer(model, "1", "respond")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "maps.safetensors")
    ...     camfast.save_maps(path, explainer(torch.ones(1, 1, 8), 3), explainer)
    ...     camfast.load_maps(path).maps.shape, camfast.read_provenance(path)["method"]
    (torch.Size([1, 8]), 'respond')
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: the name of saved maps must end with .safetensors")
    if not path.parent.is_dir():
        raise InputError(f"{path}: there is no folder {path.parent}; make it first")
    for name, given, kind in (("result", result, Explanation), ("explainer", explainer, Explainer)):
        if not isinstance(given, kind):
            raise TypeError(f"{name} must be a camfast.{kind.__name__}, found {type(given).__name__}")
    tensors = {"scores": result.scores}
    for name in _BY_LAYER:
        value = getattr(result, name)
        tensors |= (
            {name + _SLASH + layer: one for layer, one in value.items()} if isinstance(value, dict) else {name: value}
        )
    if isinstance(result.targets, Tensor):
        tensors["targets"] = result.targets
    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items() if value is not None}
    about = json.dumps(provenance(explainer, result.targets, **more), sort_keys=True)
    # clones, as safetensors refuses tensors that share memory: maps of size="grid" are their grid
    content = safetensors.torch.save({name: value.clone() for name, value in kept.items()}, metadata={_KEY: about})
    write_whole(path, content)


def load_maps(path: str | os.PathLike[str]) -> Explanation:
    """Load what `save_maps` wrote.

    Parameters
    ----------
    path
        A ``.safetensors`` file.

    Returns
    -------
    Explanation
        Its tensors on the CPU; targets that were no tensor as the provenance has them.

    Raises
    ------
    InputError
        If the file is missing, damaged, or holds no maps of camfast.

    Examples
    --------
    >>> import tempfile
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(32, 3))
    >>> explainer = camfast.Explainer(model, "0", "respond")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     camfast.save_maps(folder + "/maps.safetensors", explainer(torch.ones(1, 1, 6, 6), 2), explainer)
    ...     camfast.load_maps(folder + "/maps.safetensors").maps.shape
    torch.Size([1, 6, 6])
    """
    path = _existing(path)
    about = _read_safetensors(path)
    try:
        tensors = safetensors.torch.load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy or save it again") from error
    if not {name.partition(_SLASH)[0] for name in tensors} >= {"maps", "grid", "scores"}:
        raise InputError(f"{path}: holds no explanation but {', '.join(sorted(tensors)) or 'nothing'}")
    found: dict[str, Any] = {name: tensors.get(name) for name in _BY_LAYER}
    for name, tensor in tensors.items():
        field, slash, layer = name.partition(_SLASH)
        if slash:
            found[field] = {**(found[field] or {}), layer: tensor}
    return Explanation(scores=tensors["scores"], targets=tensors.get("targets", about.get("target")), **found)


def read_provenance(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read from a picture or map that camfast saved how it came about.

    Parameters
    ----------
    path
        PNG of `camfast.plot.save`, safetensors of `save_maps`, or the MRC file or OME-Zarr folder of a scan. An MRC
        header has room for ten lines of 80 characters: what was too long is cut, and stands as text.

    Returns
    -------
    dict
        The facts of `camfast.provenance`, and what was added to them.

    Raises
    ------
    InputError
        If the file is missing, of another kind, damaged, or doesn't say how it came about.
    MissingExtraError
        Without the package that reads the file: the extra ``plot`` for PNG, ``scan`` for MRC and OME-Zarr.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "cam.png")
    ...     camfast.plot.save(camfast.plot.overlay(torch.ones(8, 8), torch.eye(8)), path, method="respond")
    ...     camfast.read_provenance(path)
    {'method': 'respond'}
    """
    path = _existing(path)
    ending = path.suffix.lower()
    if ending not in _READERS:
        raise InputError(f"{path}: unknown kind of file; its name must end in {', '.join(_READERS)}")
    about = _READERS[ending](path)
    if not about:
        raise InputError(f"{path}: doesn't say how it came about; was it saved by camfast?")
    return about


def _existing(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if not path.exists():
        raise InputError(f"{path}: no such file; check the name")
    return path


def _read_png(path: Path) -> dict[str, Any]:
    image = require("PIL.Image", "plot", "reading PNG files")
    try:
        with image.open(path, formats=("PNG",)) as picture:
            text = getattr(picture, "text", {})
    except OSError as error:
        raise InputError(f"{path}: cannot be read as an image ({error}); copy or save it again") from None
    if not text.get("Software", "").startswith(_KEY):
        return {}
    return _parsed(text.get("Description", ""))


def _read_safetensors(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, framework="pt") as file:
            return _parsed((file.metadata() or {}).get(_KEY, ""))
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error}); copy or save it again") from error


def _read_mrc(path: Path) -> dict[str, Any]:
    mrcfile = require("mrcfile", "scan", "reading MRC files")
    try:
        with mrcfile.open(path, header_only=True) as file:
            labels = [bytes(label).decode("ascii", "replace").rstrip("\0 ") for label in file.header.label]
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as MRC ({error}); copy or write it again") from None
    first, _, version = labels[0].partition(" ")
    return {_KEY: version, **from_lines(labels[1:])} if first == _KEY else {}


def _read_zarr(path: Path) -> dict[str, Any]:
    zarr = require("zarr", "scan", "reading OME-Zarr")
    try:
        attributes = dict(zarr.open(str(path), mode="r").attrs)
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as Zarr ({error}); copy or write it again") from None
    return dict(attributes.get(_KEY, {}))


def _parsed(text: str) -> dict[str, Any]:
    try:
        about = json.loads(text)
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


_READERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    ".png": _read_png,
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".mrc", ".map", ".rec"), _read_mrc),
    ".zarr": _read_zarr,
}
