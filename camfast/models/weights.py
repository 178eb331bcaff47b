"""Weights on disk: safetensors with metadata, and state dicts read without running any code."""

import hashlib
import io
import json
import os
import pickle
import reprlib
import sys
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from camfast._foreign import foreign
from camfast._whole import write_whole
from camfast.errors import InputError

DIRECTORY = 0x10  # among the attributes of a record
LARGEST_FACTOR = 4  # bytes of weights for one of their file: tied ones count more than once
KNOWN_METADATA: dict[str, tuple[type, ...]] = {
    "arguments": (dict,),
    "preprocess": (dict,),
    "labels": (list,),
    "layer": (str,),
    "voxel_angstrom": (int, float),
    "normalization": (dict,),
    "accuracy": (int, float),
}


@dataclass(frozen=True)
class Weights:
    """A state dict and what its file says about it."""

    state: dict[str, Tensor]
    metadata: dict[str, Any] = field(default_factory=dict)


def read_weights(path: str | os.PathLike[str]) -> Weights:
    """Read ``.safetensors``, or a state dict saved by ``torch.save``, without running code from the file.

    A state dict may stand under ``state_dict`` or ``model_state_dict``; its keys may start with ``module.``.

    Parameters
    ----------
    path
        A file whose name ends with ``.safetensors``; any other name is read by
        ``torch.load(weights_only=True)``.

    Returns
    -------
    Weights
        Tensors by key on the CPU, and the metadata: each value JSON, or a plain string where it is no JSON.

    Raises
    ------
    InputError
        If the file is missing, truncated, of another kind, holds a pickled module or other code, or if a key
        of `KNOWN_METADATA` has a value of another kind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(folder + "/net.safetensors", nn.Linear(2, 1), labels=["particle"])
    ...     read_weights(folder + "/net.safetensors").metadata
    {'labels': ['particle']}
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a file of weights; give the file in it")
    if not path.is_file():
        raise InputError(f"{path}: no such file of weights")
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    return Weights(_state_dict(_unpickle_tensors(path), path))


def fingerprint(path: str | os.PathLike[str]) -> str:
    """First 12 digits of a file's SHA-256, to tell later which weights were used."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def save_weights(path: str | os.PathLike[str], module: nn.Module, **metadata: Any) -> None:
    """Write the state dict of a module and its metadata as safetensors, the same bytes for the same content.

    Each keyword becomes one key of the file's metadata, its value as JSON. `camfast.models.load` understands
    ``arguments`` (of the factory), ``preprocess`` (fields of `Preprocess`), ``labels``, ``layer`` and
    ``voxel_angstrom``; ``normalization`` (``{"kind": "tomogram", "mean": 0, "std": 1}``, what is expected),
    ``accuracy`` and any other key are handed on.

    Parameters
    ----------
    path
        File to write, whose name ends with ``.safetensors``; it is replaced as a whole or not at all.
    module
        The network.
    **metadata
        Values that JSON can hold.

    Raises
    ------
    InputError
        If the name has another ending, a value cannot be JSON, or a key of `KNOWN_METADATA` has a value of
        another kind.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_weights(folder + "/net.safetensors", nn.Linear(2, 1), voxel_angstrom=10.0)
    ...     sorted(read_weights(folder + "/net.safetensors").state)
    ['bias', 'weight']
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: the name of saved weights must end with .safetensors")
    _check_metadata(metadata, path)
    try:
        texts = {key: json.dumps(metadata[key], sort_keys=True, allow_nan=False) for key in metadata}
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: metadata must be what JSON can hold: {error}") from error
    tensors = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
    content = _sorted_header(safetensors.torch.save(tensors, metadata=texts))
    write_whole(path, content)


def _read_safetensors(path: Path) -> Weights:
    with (
        foreign(f"{path}: not a whole safetensors file", "download or save it again"),
        safe_open(path, framework="pt") as file,
    ):
        texts = file.metadata() or {}
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  (not a mapping)
    metadata = {key: _parse(text) for key, text in texts.items()}
    _check_metadata(metadata, path)
    return Weights(state, metadata)


def _unpickle_tensors(path: Path) -> Any:
    pickled = (
        f"{path}: holds a pickled module or other objects, and reading those can run any code; save "
        "model.state_dict() with torch.save, or the module with camfast.models.save_weights, and use that"
    )
    with path.open("rb") as file:
        start = file.read(2)
    if start[:1] == pickle.PROTO and start[1:] > b"\x02":  # torch.save writes protocol 2, or a zip archive
        raise InputError(pickled)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what is old in a file
            if start == b"PK":
                _check_archive(path)
                return torch.load(path, map_location="cpu", weights_only=True)
            # from memory, as room would be made for a text of any length that a file claims
            return torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):
            raise InputError(pickled) from error
        raise InputError(f"{path}: not a file of weights; expected .safetensors or a saved state_dict") from error
    except Exception as error:  # a damaged pickle can make torch raise anything
        if "TorchScript" in str(error):
            raise InputError(
                f"{path}: a TorchScript archive, which holds code; save model.state_dict() and give that file"
            ) from error
        raise InputError(f"{path}: truncated, or not a file of weights; download or save it again") from error


def _check_archive(path: Path) -> None:
    """Make sure that an archive's records are not far more than the file, as torch.save doesn't pack them, and files.

    Raises
    ------
    InputError
        If they aren't.
    """
    with zipfile.ZipFile(path) as archive:
        records = archive.infolist()
    _check_claim(sum(record.file_size for record in records), path)
    for record in records:
        if record.external_attr & DIRECTORY and record.file_size:
            # torch takes what happens to be in memory for the values of it
            raise InputError(f"{path}: damaged: {reprlib.repr(record.filename)} is marked as a folder; save it again")


def _check_claim(claimed: int, path: Path) -> None:
    size = path.stat().st_size
    if claimed > LARGEST_FACTOR * size + (1 << 20):
        raise InputError(
            f"{path}: claims to hold {claimed:,} bytes of weights in a file of {size:,}; save the state_dict again"
        )


def _state_dict(content: Any, path: Path) -> dict[str, Tensor]:
    for key in ("state_dict", "model_state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise InputError(f"{path}: holds a {type(content).__name__}, not a state_dict of tensors by name")
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise InputError(f"{path}: entry {reprlib.repr(key)} is a {type(value).__name__}, expected tensors by name")
        if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise InputError(
                f"{path}: entry {reprlib.repr(key)} is a tensor without plain values ({value.layout}, {value.device}, "
                f"{value.dtype}); save them as dense tensors"
            )
    _check_claim(sum(value.numel() * value.element_size() for value in content.values()), path)
    prefix = "module." if all(key.startswith("module.") for key in content) else ""
    return {key.removeprefix(prefix): value.detach() for key, value in content.items()}


def _check_metadata(metadata: Mapping[str, Any], path: Path) -> None:
    for key, kinds in KNOWN_METADATA.items():
        value = metadata.get(key)
        if key in metadata and (not isinstance(value, kinds) or isinstance(value, bool)):
            raise InputError(f"{path}: metadata {key!r} must be a {kinds[-1].__name__}, found {reprlib.repr(value)}")
    size = metadata.get("voxel_angstrom", 1.0)
    if not 0 < size < sys.float_info.max:
        raise InputError(
            f"{path}: metadata 'voxel_angstrom' must be a length in ångström, found {reprlib.repr(size)}; save it again"
        )


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _sorted_header(content: bytes) -> bytes:
    """Sort the metadata, which safetensors writes in an order that changes from run to run."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    if "__metadata__" in header:
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + length :]
