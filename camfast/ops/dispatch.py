"""Which backend runs an op: named, explicit, and never a silent fallback."""

from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from camfast.errors import BackendError
from camfast.ops import native, reference

OPS = (
    "channel_weights",
    "weighted_sum",
    "product_sum",
    "fused_cam",
    "linear_upsample",
    "gaussian_upsample",
)
BACKENDS = ("cpu", "cuda", "triton", "torch")
_NOT_BUILT = "not part of this version, which has kernels for the CPU only"


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
        ``"torch"``, the reference, only when it is asked for.

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
    kind = torch.device(device).type
    status = dict.fromkeys(BACKENDS, "ok")
    if kind != "cpu":
        status["cpu"] = f"runs on CPU tensors, not on {kind}"
    elif (failure := native.load_failure()) is not None:
        status["cpu"] = failure
    for name in ("cuda", "triton"):
        status[name] = _NOT_BUILT if kind == "cuda" else f"runs on CUDA tensors, not on {kind}"
    return status


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
    if backend is not None and backend not in BACKENDS:
        raise ValueError(f"backend must be None or one of {', '.join(BACKENDS)}, found {backend!r}")
    status = backends(op, device)
    if backend == "cpu" and status["cpu"] == "ok":
        return native
    reasons = [f"{name}: {reason}" for name, reason in status.items() if reason != "ok" and backend in (None, name)]
    raise BackendError(
        f"{op} can't run on {device} by {backend or 'any kernel'} ({'; '.join(reasons)}); "
        "backend='torch' runs the slow reference anywhere"
    )


def run(op: str, arguments: tuple[Any, ...], out: Any, backend: str | None) -> Any:
    """Run an op whose arguments have been checked, on the backend asked for or the best one there is.

    ``out`` is a tensor or a `FusedCam` to write into, or None.
    """
    module = choose(op, arguments[0].device, backend)
    if module is native:
        return getattr(native, op)(*arguments, out)
    result = getattr(reference, op)(*arguments)
    if out is None:
        return result
    for target, source in zip(_fields(out), _fields(result), strict=True):
        if target is not None and source is not None:
            target.copy_(source)
    return out


def _fields(result: Any) -> tuple[Tensor | None, ...]:
    return (result,) if isinstance(result, Tensor) else tuple(result)
