"""Activations that write into a view of a tensor: torch's graph hides them, until they are taken apart."""

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

_ACTIVATIONS = {
    "relu", "relu6", "threshold", "hardtanh", "clamp", "clamp_min", "clip", "leaky_relu", "rrelu", "elu", "selu",
    "celu", "silu", "mish", "hardswish",
}  # fmt: skip


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
        name = getattr(func, "__name__", "")
        in_place = name.endswith("_") or kwargs.get("inplace")
        # F.threshold is a function named _threshold
        if in_place and name.strip("_") in _ACTIVATIONS and args and isinstance(args[0], Tensor) and args[0]._is_view():
            view, *others = args
            # in place as well, so that as much is saved as when a checkpoint computes the block again without this mode
            return view.copy_(func(view.clone(), *others, **kwargs))
        return func(*args, **kwargs)
