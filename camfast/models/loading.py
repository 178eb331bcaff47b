"""From a name and a file of weights to a network that is ready to be explained."""

import importlib
import importlib.util
import json
import os
import reprlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from camfast._foreign import foreign
from camfast.errors import CamfastError, InputError
from camfast.models.builtin import BUILTINS, Builtin
from camfast.models.preprocess import Preprocess
from camfast.models.weights import Weights, read_weights

LARGEST_LIST = 1 << 20  # bytes of JSON


@dataclass(frozen=True)
class Loaded:
    """A network and what is known about it; None where it isn't known.

    Parameters
    ----------
    module
        The network, in eval mode on the CPU.
    preprocess
        What a picture needs before the network.
    labels
        Names of the classes, in their order.
    layer
        Dotted name of the layer to explain.
    voxel_angstrom
        Voxel size that the network was trained at, in ångström.
    metadata
        All metadata of the file of weights, such as ``normalization`` and ``accuracy``.
    """

    module: nn.Module
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] | None = None
    layer: str | None = None
    voxel_angstrom: float | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


def load(spec: str, weights: str | os.PathLike[str] | None = None) -> Loaded:
    """Build a network, and fill it with weights.

    Parameters
    ----------
    spec
        A name of `names`, ``"package.module:factory"`` or ``"file.py:factory"``. A factory is called with the
        ``arguments`` of the weights' metadata and returns an ``nn.Module`` or a `Loaded`; its code runs, so
        load only what you trust.
    weights
        ``.safetensors`` or a saved state dict (`read_weights` says what is refused). None: the bundled
        weights of ``"subtomogram_demo"``, the factory's own otherwise, which are random for built-in names.
        The arguments of built-in networks come from the metadata, or from the shapes of the tensors. For
        ``"meshnet"`` a file of the same name that ends with ``.json`` gives the list of layers.

    Returns
    -------
    Loaded
        In eval mode; metadata of the weights goes before what is known of the name.

    Raises
    ------
    InputError
        If the name or the factory cannot be found or used, the factory's code raises, or the weights cannot be
        read or do not fit: the message names the file and the first keys that are missing, unexpected or of
        another shape.

    Examples
    --------
    >>> loaded = camfast.models.load("subtomogram_demo")
    >>> loaded.layer, loaded.labels[:2]
    ('maxpool2', ('ball', 'barrel'))
    """
    if spec in BUILTINS:
        return _load_builtin(spec, BUILTINS[spec], weights)
    path, _, name = spec.rpartition(":")
    if not (path and name):
        close = get_close_matches(spec, BUILTINS, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise InputError(
            f"unknown model {spec!r}{hint}; known are {', '.join(BUILTINS)}; one of your own is "
            "package.module:factory or file.py:factory"
        )
    content = None if weights is None else read_weights(weights)
    loaded = _call(_find_factory(path, name), spec, {} if content is None else content.metadata.get("arguments", {}))
    if content is not None:
        _check_fit(loaded.module, content.state, weights)
        loaded.module.load_state_dict(content.state, strict=False)
        loaded = _with_metadata(loaded, content.metadata, weights)
    loaded.module.eval()
    return loaded


def names() -> tuple[str, ...]:
    """List the built-in names that `load` takes.

    Examples
    --------
    >>> "squeezenet1_0" in camfast.models.names()
    True
    """
    return tuple(BUILTINS)


def _load_builtin(name: str, builtin: Builtin, path: str | os.PathLike[str] | None) -> Loaded:
    known = Loaded(nn.Identity(), builtin.preprocess, builtin.labels, builtin.layer)
    path = path if path is not None else builtin.weights
    if path is None:
        return replace(known, module=builtin.factory().eval())
    content = read_weights(path)
    state = builtin.translate(content.state)
    arguments = _arguments(name, builtin, Weights(state, content.metadata), Path(path))
    # The meta device allocates nothing before the shapes are known to fit, and draws no random number.
    shown = reprlib.repr(arguments)
    with foreign(f"{path}: cannot build {name} from {shown}", "correct the arguments"), torch.device("meta"):
        module = builtin.factory(**arguments)
    _check_fit(module, state, path)
    expected = module.state_dict()
    for key, tensor in expected.items():
        expected[key] = state[key].to(tensor.dtype) if key in state else torch.zeros(tensor.shape, dtype=tensor.dtype)
    module.load_state_dict(expected, assign=True)
    return _with_metadata(replace(known, module=module.eval()), content.metadata, path)


def _arguments(name: str, builtin: Builtin, weights: Weights, path: Path) -> dict[str, Any]:
    if "arguments" in weights.metadata:
        return dict(weights.metadata["arguments"])
    try:
        arguments = builtin.arguments_of(weights.state)
    except (LookupError, ArithmeticError):
        return {}  # the comparison of keys then says what is missing
    layers = path.with_suffix(".json")
    if name == "meshnet" and layers.is_file():
        if (size := layers.stat().st_size) > LARGEST_LIST:
            raise InputError(f"{layers}: {size:,} bytes, expected a JSON list of layers; move it, or export it again")
        with foreign(f"{layers}: not a JSON list of layers", "export the list again"):
            arguments["layers"] = json.loads(layers.read_text(encoding="utf-8"))
    return arguments


def _find_factory(path: str, name: str) -> Callable[..., Any]:
    try:
        if path.endswith(".py"):
            specification = importlib.util.spec_from_file_location(f"_camfast_model_{Path(path).stem}", path)
            if specification is None or specification.loader is None or not Path(path).is_file():
                raise InputError(f"{path}: no such Python file")
            module = importlib.util.module_from_spec(specification)
            sys.modules[module.__name__] = module  # dataclasses look their module up
            specification.loader.exec_module(module)
        else:
            module = importlib.import_module(path)
    except CamfastError:
        raise
    except ImportError as error:
        raise InputError(f"cannot import {path!r} for the model {path}:{name}: {error}") from error
    except (Exception, SystemExit) as error:
        raise _raised(path, error) from error
    factory = getattr(module, name, None)
    if not callable(factory):
        raise InputError(f"{path} has no function {name!r} that could make a model")
    return factory  # type: ignore[no-any-return]


def _call(factory: Callable[..., Any], spec: str, arguments: Mapping[str, Any]) -> Loaded:
    try:
        made = factory(**arguments)
    except CamfastError:
        raise
    except (Exception, SystemExit) as error:
        raise _raised(spec, error) from error
    if isinstance(made, nn.Module):
        return Loaded(made)
    if isinstance(made, Loaded):
        return made
    raise InputError(f"{spec} returned a {type(made).__name__}, expected a torch.nn.Module or camfast.models.Loaded")


def _raised(code: str, error: BaseException) -> InputError:
    """What to say of an exception in code that a person gave; ``sys.exit`` there must not end the program."""
    message = " ".join(str(error).split())
    return InputError(f"{code} raised {type(error).__name__}{': ' if message else ''}{message}; mend the model's code")


def _check_fit(module: nn.Module, state: Mapping[str, Tensor], path: str | os.PathLike[str] | None) -> None:
    expected = module.state_dict()
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unexpected = [key for key in state if key not in expected]
    shapes = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(expected[key].shape)}"
        for key in expected
        if key in state and state[key].shape != expected[key].shape
    ]
    faults = [
        f"{len(keys)} {what}: {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}"
        for what, keys in (("missing", missing), ("unexpected", unexpected), ("of another shape", shapes))
        if keys
    ]
    if faults:
        raise InputError(f"{path}: the weights do not fit the model; {'; '.join(faults)}")


def _with_metadata(loaded: Loaded, metadata: Mapping[str, Any], path: str | os.PathLike[str] | None) -> Loaded:
    changes: dict[str, Any] = {"metadata": dict(metadata)}
    if "preprocess" in metadata:
        about = f"{path}: metadata 'preprocess' cannot be used"
        try:
            with foreign(about, "save the weights with fields of camfast.models.Preprocess"):
                changes["preprocess"] = Preprocess(**metadata["preprocess"])
        except InputError as error:
            if str(path) in str(error):
                raise
            raise InputError(f"{about}: {error}") from error
    if "labels" in metadata:
        changes["labels"] = tuple(str(label) for label in metadata["labels"])
    if "layer" in metadata:
        changes["layer"] = metadata["layer"]
    if "voxel_angstrom" in metadata:
        changes["voxel_angstrom"] = float(metadata["voxel_angstrom"])
    return replace(loaded, **changes)
