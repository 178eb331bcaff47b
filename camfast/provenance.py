"""How a map came about: method and options, layer, target, the model's fingerprint and versions, fit for JSON."""

import dataclasses
import hashlib
import inspect
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from camfast import layers
from camfast._version import __version__
from camfast.engine import Explainer
from camfast.errors import InputError

MOST_VALUES = 64
"""Tensors with more elements stand in a provenance by shape, type and fingerprint."""
_SEPARATOR = "; "


def provenance(explained: Explainer | nn.Module, target: Any = None, **more: Any) -> dict[str, Any]:
    """Say how a map came about, for the file it is saved in.

    Parameters
    ----------
    explained
        The explainer that made the map; or the model, for maps made without one, where ``more`` names the method.
    target
        What was explained, as it was asked for or as ``Explanation.targets`` has it.
    more
        Further facts by name; they go before what is found here.

    Returns
    -------
    dict
        ``method``, ``layer`` and ``options`` of an explainer (``relu``, ``upsample``, and what isn't the default);
        ``target``; ``model_class``; ``model_sha256`` of `model_hash`; the versions ``camfast`` and ``torch``; and
        ``more``. All values are what JSON can hold: functions stand by their names, large tensors by shape, type and
        SHA-256.

    Raises
    ------
    InputError
        If the model's tensors hold no values (meta device).
    TypeError
        If the model is none whose layers can be reached.

    Examples
    --------
    >>> model = torch.nn.Sequential(torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten())
    >>> about = camfast.provenance(camfast.Explainer(model, "1", "respond"), 3, sample="a.mrc")
    >>> about["method"], about["layer"], about["target"], about["options"]["upsample"], about["sample"]
    ('respond', '1', 3, 'linear', 'a.mrc')
    """
    model = explained.model if isinstance(explained, Explainer) else layers.unwrap(explained)
    about = _of_explainer(explained) if isinstance(explained, Explainer) else {}
    about |= {
        "target": target,
        "model_class": type(model).__qualname__,
        "model_sha256": model_hash(model),
        "camfast": __version__,
        "torch": torch.__version__,
    }
    return {name: as_json(value) for name, value in (about | more).items()}


def model_hash(model: nn.Module) -> str:
    """SHA-256 of a model: the classes of its modules, and names, dtypes, shapes and bytes of its state dict.

    The device plays no part, nor do wrappers (DataParallel, ``torch.compile``). What modules keep elsewhere, such as a
    stride, isn't seen. Computed anew at each call, so that changed weights show.

    Parameters
    ----------
    model
        Any module.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InputError
        If a tensor holds no values (meta device).
    TypeError
        If the model is TorchScript or no module.

    Examples
    --------
    >>> model = torch.nn.Linear(2, 1)
    >>> before = camfast.provenance(model)["model_sha256"]
    >>> with torch.no_grad():
    ...     _ = model.bias.add_(1)
    >>> camfast.provenance(model)["model_sha256"] == before
    False
    """
    inner = layers.unwrap(model)
    digest = hashlib.sha256()
    # a compiled layer's wrapper comes right before the layer, which takes its place
    classes = {layers.without_wrappers(name): type(module).__qualname__ for name, module in inner.named_modules()}
    for name in sorted(classes):
        digest.update(_line(name, classes[name]))
    state = {layers.without_wrappers(name): value for name, value in inner.state_dict().items()}
    for name in sorted(state):
        value = state[name]
        if isinstance(value, Tensor):
            digest.update(_line(name, str(value.dtype), *value.shape))
            digest.update(_bytes_of(name, value))
        else:  # what a module's get_extra_state gives
            digest.update(_line(name, json.dumps(as_json(value), sort_keys=True)))
    return digest.hexdigest()


def as_json(value: Any) -> Any:
    """Bring a value to what JSON can hold, the same in every run: no addresses, no NaN."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, os.PathLike | torch.dtype | torch.device):
        return str(value)
    if isinstance(value, np.generic):
        return as_json(value.item())
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if isinstance(value, Tensor):
        return _tensor_as_json(value)
    if isinstance(value, slice):
        return {
            "type": "slice",
            "start": as_json(value.start),
            "stop": as_json(value.stop),
            "step": as_json(value.step),
        }
    if isinstance(value, Mapping):
        return {str(name): as_json(one) for name, one in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"type": type(value).__qualname__, **as_json(_fields(value))}
    if isinstance(value, list | tuple | range):
        return [as_json(one) for one in value]
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"


def as_lines(about: Mapping[str, Any], count: int, width: int) -> list[str]:
    """Write facts as at most ``count`` lines ``name: value`` of ``width`` characters, as a header has room for.

    The last facts share lines where there are too many; what still finds no place is left out.
    """
    lines = [f"{name}: {_as_text(value)}" for name, value in about.items()]
    while len(lines) > count:
        pairs = range(len(lines) - 2, 0, -1)
        place = next((i for i in pairs if len(lines[i]) + len(_SEPARATOR) + len(lines[i + 1]) <= width), None)
        if place is None:
            lines = lines[:count]
        else:
            lines[place : place + 2] = [lines[place] + _SEPARATOR + lines[place + 1]]
    return [line[:width] for line in lines]


def from_lines(lines: Sequence[str]) -> dict[str, Any]:
    """Read the facts that `as_lines` wrote; what was cut is the text that is left of it."""
    found: dict[str, Any] = {}
    for line in lines:
        for part in re.split(rf"{_SEPARATOR}(?=\w+: )", line):
            name, colon, text = part.partition(": ")
            if colon:
                found[name] = _from_text(text)
    return found


def _of_explainer(explainer: Explainer) -> dict[str, Any]:
    """Method, layer and the options that differ from the defaults; relu and upsample always, as they were resolved."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(Explainer).parameters.items()}
    options: dict[str, Any] = {"relu": explainer.relu, "upsample": explainer.upsampling.mode}
    for name, value in explainer.arguments.items():
        if name in ("model", "layer", "method", *options) or _same(value, defaults[name]):
            continue
        options[name] = layers.find(explainer.model, value)[0] if isinstance(value, nn.Module) else value
    if "sigma" in options and isinstance(explainer.layer, str):
        options["sigma"] = explainer.upsampling.sigma  # as measured, where "auto" was asked for
    return {"method": explainer.method, "layer": explainer.layer, "options": options}


def _same(value: Any, default: Any) -> bool:
    return value is default or (isinstance(value, bool | int | str) and bool(value == default))


def _fields(value: Any) -> dict[str, Any]:
    """The fields of a dataclass, not those of what they hold."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _tensor_as_json(tensor: Tensor) -> Any:
    if tensor.numel() <= MOST_VALUES:
        return as_json(tensor.tolist())
    content = hashlib.sha256(_bytes_of("a tensor", tensor)).hexdigest()
    return {"type": "tensor", "dtype": str(tensor.dtype), "shape": list(tensor.shape), "sha256": content}


def _bytes_of(name: str, tensor: Tensor) -> Any:
    """The bytes of a tensor's elements in their order, wherever it lies."""
    if tensor.is_meta:
        raise InputError(f"{name} holds no values, as it is on the meta device: load the weights first")
    whole = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    return whole.reshape(-1).view(torch.uint8).numpy().data


def _line(*parts: Any) -> bytes:
    return (json.dumps(parts) + "\n").encode()


def _as_text(value: Any) -> str:
    """Numbers, lists and the like as JSON; text as it is, unless it would be taken for those."""
    if isinstance(value, str) and _from_text(value) == value:
        return value
    return json.dumps(value, ensure_ascii=False)


def _from_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
