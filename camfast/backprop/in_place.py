"""Activations that write into a view of a tensor: torch's graph hides them, until they are taken apart."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

_FUNCTIONAL = (
    "relu", "relu6", "threshold", "hardtanh", "leaky_relu", "rrelu", "elu", "selu", "celu", "silu", "mish", "hardswish",
)  # fmt: skip
_OUT_OF_PLACE: dict[str, Callable[..., Tensor]] = {
    **{f"{name}_": getattr(F, name) for name in _FUNCTIONAL},
    **{f"{name}_": getattr(torch, name) for name in ("clamp", "clamp_min", "clip")},
}


class SeenInPlace(TorchFunctionMode):
    """Computes an in-place activation of a view apart, and copies the result into the view.

    ``x.view(-1).relu_()`` leaves one node, CopySlices, whose inside can't be reached. A copy leaves the same node, and
    the activation as one of its own. Whoever else holds the tensor sees the same values. The mode is this thread's.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch."""
        kwargs = kwargs or {}
        x = args[0] if args else None
        name = getattr(func, "__name__", "").lstrip("_")  # F.threshold is a function named _threshold
        if isinstance(x, Tensor) and x._is_view():
            # what the activation saves of its input must not change with the view, hence the clones
            if name in _OUT_OF_PLACE:
                return x.copy_(_OUT_OF_PLACE[name](x.clone(), *args[1:], **kwargs))
            if kwargs.get("inplace") and name in _FUNCTIONAL:
                return x.copy_(func(x.clone(), *args[1:], **{**kwargs, "inplace": False}))
        return func(*args, **kwargs)
