"""Which backend runs an op: named, explicit, and never a silent fallback."""

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from camfast.errors import BackendError
from camfast.ops import native, preference, reference

OPS = (
    "channel_weights",
    "weighted_sum",
    "product_sum",
    "fused_cam",
    "linear_upsample",
    "gaussian_upsample",
    "overlay",
    "running_max",
    "window_sum",
)
BACKENDS = ("cpu", "cuda", "triton", "torch")
WITHOUT_KERNEL = {"cuda": ("window_sum",)}
"""Ops that a backend leaves to the others."""


def backends(op: str, device: str | torch.device = "cpu") -> dict[str, str]:
    """Say which backends can run an op on a device, and why the others can't.

    Parameters
    ----------
    op
        Name of an op of `camfast.ops`, such as ``"fused_cam"``.
    device
        Where the tensors would be, such as ``"cpu"`` or ``"cuda:0"``.

    Returns
    -------
    dict
        For each backend ``"ok"``, or the reason why it can't run. Without a name the first that is ok runs, but
        ``"torch"``, the reference, only when it is asked for. On a GPU the faster one comes first where it was
        measured, else the CUDA extension.

    Raises
    ------
    ValueError
        If there is no such op.

    Examples
    --------
    >>> camfast.backends("fused_cam", "cpu")["torch"]
    'ok'
    """
    if op not in OPS:
        raise ValueError(f"op must be one of {', '.join(OPS)}, found {op!r}")
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device must be one of torch's, such as 'cpu' or 'cuda:0', found {device!r} ({error})"
        ) from None
    names = ("cpu", *preference.gpu_backends(op, device), "torch")
    return {name: _failure(op, name, device.type) or "ok" for name in names}


def check_backend(backend: object) -> None:
    """Check that a backend is one, or None."""
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be None or one of {', '.join(BACKENDS)}, found {backend!r}")


def choose(op: str, device: torch.device, backend: str | None) -> ModuleType:
    """Return the module whose function of the op's name runs it.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    BackendError
        If the backend asked for, or every one, can't run here.
    """
    if backend is None and device.type == "cpu" and native.load_failure() is None:
        return native
    if backend == "torch":
        return reference
    check_backend(backend)
    status = {name: text for name, text in backends(op, device).items() if backend in (None, name) and name != "torch"}
    for name, text in status.items():
        if text == "ok":
            return _module(name)
    raise BackendError(
        f"{op} can't run on {device} by {backend or 'any kernel'} "
        f"({'; '.join(f'{name}: {reason}' for name, reason in status.items())}); "
        "backend='torch' runs the slow reference anywhere"
    )


def function(op: str, device: torch.device, backend: str | None) -> Callable[..., Any]:
    """Return what runs an op: it takes checked arguments and the output to write into, a tensor or a tuple of them.

    Raises what `choose` does.
    """
    found: Callable[..., Any] = getattr(choose(op, device, backend), op)
    return found if backend != "torch" else functools.partial(_copy, found)


def _module(backend: str) -> ModuleType:
    """Import what runs a backend: those for GPUs only when something asks for them."""
    return native if backend == "cpu" else importlib.import_module(f"camfast.ops.{backend}")


def _failure(op: str, backend: str, kind: str) -> str | None:
    """Why a backend can't run an op on a kind of device, or None where it can."""
    if backend == "torch":
        return None
    home = "cpu" if backend == "cpu" else "cuda"
    if kind != home:
        return f"runs on {home.upper()} tensors, not on {kind}"
    if op in WITHOUT_KERNEL.get(backend, ()):
        return "has no kernel for this op"
    try:
        failure: str | None = _module(backend).load_failure()
    except ImportError as error:
        return f"camfast.ops.{backend} does not load ({error})"
    return failure


def _copy(formula: Callable[..., Any], *arguments: Any) -> None:
    """Write what a formula of the reference gives into the output, the last of the arguments."""
    *read, out = arguments
    results = formula(*read)
    pairs = ((out, results),) if isinstance(out, Tensor) else zip(out, results, strict=True)
    for target, result in pairs:
        if target is not None and result is not None:
            target.copy_(result)
