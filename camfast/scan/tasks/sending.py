"""A job as a file that other processes take up: with absolute paths, without a device, with the network's own code."""

import hashlib
import io
import pickle
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import torch

from camfast._extras import require
from camfast._version import __version__
from camfast.errors import InputError
from camfast.scan.tasks.parts import write_whole

_SETTINGS = (  # of torch.backends; what older names set shows here, too
    "cuda.matmul.fp32_precision", "cudnn.conv.fp32_precision", "mkldnn.matmul.fp32_precision",
    "mkldnn.conv.fp32_precision", "cudnn.deterministic", "cudnn.benchmark",
)  # fmt: skip
_PATIENCE = 20.0  # seconds until a network file system shows what another machine wrote


def versions() -> dict[str, str]:
    """What the same numbers depend on, by name."""
    return {
        "Python": "{}.{}".format(*sys.version_info),
        "torch": torch.__version__.partition("+")[0],
        "numpy": np.__version__,
        "camfast": __version__,
    }


def check_versions(expected: dict[str, str], place: str) -> None:
    """Make sure that this process has the same packages as the one that sends work.

    Raises
    ------
    InputError
        If not: the message names them, and this process as ``place``.
    """
    own = versions()
    if wrong := [f"{name} {own[name]} instead of {expected[name]}" for name in own if own[name] != expected[name]]:
        raise InputError(f"{place} has {', '.join(wrong)}; install the same versions there")


def check_seen(path: Path, place: str) -> None:
    """Make sure that a file which another process wrote is seen here, after a while at most.

    Raises
    ------
    InputError
        If not: the message names this process as ``place``.
    """
    end = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > end or not path.parent.exists():
            raise InputError(
                f"{place} does not see the folder {path.parent}; write the output on a file system that all workers "
                "share, under the same name everywhere"
            )
        time.sleep(0.1)


def send(job: Any, path: Path) -> str:
    """Write a job into a file, and return its checksum.

    Paths in it become absolute, and tensors on a GPU go to the first one of whoever takes it up. Code that is in no
    installed package, such as a network's, goes with it, and so do torch's settings that results depend on.

    Raises
    ------
    InputError
        If something in it cannot be pickled.
    """
    content = io.BytesIO()
    with _pickler() as module:
        try:
            torch.save((_settings(), job), content, pickle_module=module, pickle_protocol=pickle.HIGHEST_PROTOCOL)
        except (pickle.PicklingError, TypeError, AttributeError) as error:
            raise InputError(
                f"the network, its explainer or the volume cannot be sent to other processes ({error}); take out what "
                "cannot be pickled, or scan without workers"
            ) from error
    write_whole(path, content.getvalue())
    return hashlib.sha256(content.getbuffer()).hexdigest()


def receive(path: Path, checksum: str) -> Any:
    """Read a job that was sent, and set torch as it was there.

    Raises
    ------
    InputError
        If the file is another one, or the network was on a GPU and there is none here.
    """
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != checksum:  # unpickling runs what is in a file
        raise InputError(f"{path}: is not what was sent; scan again")
    settings, job = torch.load(io.BytesIO(content), map_location=_placed, weights_only=False)
    torch.use_deterministic_algorithms(settings["deterministic"], warn_only=settings["warn_only"])
    for name in _SETTINGS:
        owner, attribute = _owner(name)
        if getattr(owner, attribute) != settings[name]:
            setattr(owner, attribute, settings[name])
    return job


def _settings() -> dict[str, Any]:
    return {
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn_only": torch.is_deterministic_algorithms_warn_only_enabled(),
        **{name: getattr(*_owner(name)) for name in _SETTINGS},
    }


def _owner(name: str) -> tuple[Any, str]:
    path, _, attribute = name.rpartition(".")
    return attrgetter(path)(torch.backends), attribute


def _placed(storage: Any, location: str) -> Any:
    if location == "cpu":
        return storage
    if not torch.cuda.is_available():
        raise InputError(
            "the network is on a GPU where the scan was begun, and a worker has none; start workers on GPUs, or leave "
            "the network on the CPU"
        )
    return storage.cuda(0)


@contextmanager
def _pickler() -> Iterator[Any]:
    """What `torch.save` asks a module for; code is pickled by value within the block."""
    cloudpickle = require("cloudpickle", "cluster", "sending work to other processes")
    base: Any = cloudpickle.Pickler
    sent = set()

    class Pickler(base):  # type: ignore[misc]
        def reducer_override(self, thing: Any) -> Any:
            if isinstance(thing, Path):
                return Path, (str(thing.absolute()),)
            if isinstance(thing, torch.device) and thing.type != "cpu":
                return torch.device, (thing.type, 0)
            if isinstance(thing, type | FunctionType) and thing.__module__ not in sent and _is_own(thing.__module__):
                cloudpickle.register_pickle_by_value(sys.modules[thing.__module__])
                sent.add(thing.__module__)
            return super().reducer_override(thing)

    try:
        yield SimpleNamespace(__name__="cloudpickle", Pickler=Pickler)
    finally:
        for name in sent:
            cloudpickle.unregister_pickle_by_value(sys.modules[name])


def _is_own(name: str) -> bool:
    """Whether a module is a person's own file, which may not be there on another machine."""
    package = name.partition(".")[0]
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None or package in {"camfast", "__main__", *sys.stdlib_module_names}:
        return False
    return not {"site-packages", "dist-packages"} & set(Path(file).parts)
