"""The checks before every op: each error names the argument, what was found and what was expected."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from camfast.ops.forms import DTYPES, FORMS, GAINS, IMAGE_DTYPES, map_dtype

# Squares of their quotients, and the differences of these, have to be numbers of float64.
SMALLEST, LARGEST = 1e-50, 1e50

_WEIGHTED = [name for name, form in FORMS.items() if form.weighted]
_DTYPE_NAMES = ", ".join(str(dtype).removeprefix("torch.") for dtype in DTYPES)


class PairShape(NamedTuple):
    """Sizes of activations (N, C, *S) with gradients (N, C, *S) or (T, N, C, *S)."""

    targets: int
    samples: int
    channels: int
    spatial: tuple[int, ...]
    has_targets: bool

    @property
    def lead(self) -> tuple[int, ...]:
        """Leading axes of a map: (N,) or (N, T)."""
        return (self.samples, self.targets) if self.has_targets else (self.samples,)


def check_activations(activations: Tensor) -> None:
    """Check that activations are a float tensor (N, C, *S) with one to three spatial axes."""
    check_tensor("activations", activations)
    if not 3 <= activations.ndim <= 5:
        raise ValueError(
            f"activations must be (N, C, *S) with one to three spatial axes, found the shape {tuple(activations.shape)}"
        )


def check_pair(activations: Tensor, gradients: Tensor) -> PairShape:
    """Check activations against gradients, and return their sizes."""
    check_activations(activations)
    check_tensor("gradients", gradients)
    shape = activations.shape
    has_targets = gradients.ndim == activations.ndim + 1
    if (gradients.shape[1:] if has_targets else gradients.shape) != shape:
        raise ValueError(
            f"gradients must have the shape of activations, {tuple(shape)}, or that behind an axis of targets; "
            f"found {tuple(gradients.shape)}"
        )
    if gradients.dtype != activations.dtype:
        raise TypeError(
            f"gradients are {gradients.dtype} and activations {activations.dtype}: convert one so that both agree"
        )
    check_same_device(activations, gradients, "gradients")
    targets = gradients.shape[0] if has_targets else 1
    return PairShape(targets, shape[0], shape[1], tuple(shape[2:]), has_targets)


def check_dense(name: str, tensor: Tensor) -> None:
    """Check that an argument is a tensor whose elements lie in memory by strides."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch tensor, found {type(tensor).__name__}")
    if tensor.is_nested or tensor.layout != torch.strided or tensor.is_quantized:
        kind = "nested" if tensor.is_nested else "quantized" if tensor.is_quantized else tensor.layout
        raise TypeError(f"{name} must be a dense tensor, found one that is {kind}: to_dense() or dequantize() it")


def as_flag(name: str, value: object) -> bool:
    """Return True or False as a bool, from numpy too."""
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | np.bool_):
        raise TypeError(f"{name} must be True or False, found {value!r}")
    return bool(value)


def check_tensor(name: str, tensor: Tensor) -> None:
    """Check that an argument is a dense tensor of a supported dtype."""
    check_dense(name, tensor)
    if tensor.dtype not in DTYPES:
        raise TypeError(f"{name} must be one of {_DTYPE_NAMES}, found {tensor.dtype}")


def check_image(image: Tensor) -> None:
    """Check that an image is (N, H, W) or (N, H, W, 3), with pixels, in a dtype of images."""
    check_dense("image", image)
    if image.dtype not in IMAGE_DTYPES:
        raise TypeError(f"image must be one of uint8, uint16, {_DTYPE_NAMES}, found {image.dtype}")
    if image.ndim not in (3, 4) or (image.ndim == 4 and image.shape[3] != 3) or 0 in image.shape[1:]:
        raise ValueError(
            f"image must be (N, H, W) or (N, H, W, 3) with at least one pixel, found the shape {tuple(image.shape)}"
        )


def check_same_device(activations: Tensor, other: Tensor, name: str) -> None:
    """Check that two inputs live on one device."""
    if other.device != activations.device:
        raise ValueError(f"{name} is on {other.device}, the other input on {activations.device}: move one of them")


def check_method(method: str, *, weighted: bool = False) -> None:
    """Check a method's name, and that it is one with channel weights where that is asked."""
    names = _WEIGHTED if weighted else FORMS
    if method not in names:
        kind = "a method with channel weights" if weighted else "a method"
        raise ValueError(f"method must be {kind}: one of {', '.join(names)}; found {method!r}")


def check_grid(grid: Tensor, size: Sequence[int], name: str = "size") -> tuple[int, ...]:
    """Check a grid (N, *S) or (N, T, *S) against the size of its maps, and return that size as a tuple."""
    check_tensor("grid", grid)
    target = as_size(size)
    if not 1 <= len(target) <= 3:
        raise ValueError(f"{name} must have one to three axes, found {target}")
    if not len(target) + 1 <= grid.ndim <= len(target) + 2:
        raise ValueError(
            f"grid must be (N, *S) or (N, T, *S) with {len(target)} spatial axes as {name}={target} has, "
            f"found the shape {tuple(grid.shape)}"
        )
    check_size(target, grid.shape[-len(target) :], name)
    return target


def as_size(size: Sequence[int]) -> tuple[int, ...]:
    """Sizes as ints, but for those that a tracer keeps open."""
    if isinstance(size, str | int):  # size="grid" is understood by an Explainer
        raise TypeError(f"size must be one number for each spatial axis, or None for no upsampling; found {size!r}")
    return tuple(extent if isinstance(extent, int | torch.SymInt) else int(extent) for extent in size)


def check_size(size: Sequence[int], spatial: Sequence[int], name: str = "size") -> None:
    """Check that the size of a map has the axes of its grid, all positive, and that no axis of the grid is empty."""
    if len(size) != len(spatial):
        raise ValueError(
            f"{name}={tuple(size)} has {len(size)} axes, the grid {len(spatial)}: give one number for each"
        )
    if any(extent < 1 for extent in (*size, *spatial)):  # not min(), which would fix an order for a tracer
        raise ValueError(f"{name} and the grid need positive axes, found {tuple(size)} and {tuple(spatial)}")


def check_gaussian(
    rank: int, sigma: Sequence[float], gain: str, starts: Sequence[float], steps: Sequence[float]
) -> None:
    """Check the arguments of the Gaussian upsampling, one value an axis."""
    if len(sigma) != rank:
        raise ValueError(f"sigma must be one number or {rank} (one for each spatial axis), found {len(sigma)}")
    if not all(SMALLEST <= value <= LARGEST for value in sigma):
        raise ValueError(
            f"sigma must be positive and finite, in pixels of the map, {SMALLEST} to {LARGEST}; found {tuple(sigma)}"
        )
    if gain not in GAINS:
        raise ValueError(f"gain must be one of {', '.join(GAINS)}, found {gain!r}")
    if len(starts) != rank or len(steps) != rank:
        raise ValueError(f"centres must hold (start, step) for each of {rank} spatial axes, found {len(starts)}")
    if not all(abs(start) <= LARGEST for start in starts) or not all(SMALLEST <= step <= LARGEST for step in steps):
        raise ValueError(
            f"centres must be finite with positive steps, starts of -{LARGEST} to {LARGEST} and steps of {SMALLEST} to "
            f"{LARGEST}; found {tuple(zip(starts, steps, strict=True))}"
        )


def check_out(
    out: Tensor | None,
    lead: tuple[int, ...],
    rest: tuple[int, ...],
    inputs: Sequence[Tensor],
    name: str = "out",
    dtype: torch.dtype | None = None,
) -> None:
    """Check an output tensor: shape, dtype, device, layout, and that it shares no memory with an input.

    Parameters
    ----------
    out
        The caller's tensor, or None.
    lead, rest
        The shape that the op returns: axes that may have any stride, and axes that must be contiguous.
    inputs
        The tensors that the op reads.
    name
        What the argument is called.
    dtype
        The dtype that the op returns; None: that of maps.
    """
    if out is None:
        return
    check_dense(name, out)
    if tuple(out.shape) != (*lead, *rest):
        raise ValueError(f"{name} must have the shape {(*lead, *rest)}, found {tuple(out.shape)}")
    expected = dtype or map_dtype(inputs[0].dtype)
    if out.dtype != expected:
        raise TypeError(f"{name} must be {expected} for inputs of {inputs[0].dtype}, found {out.dtype}")
    check_same_device(inputs[0], out, name)
    if out.requires_grad:
        raise ValueError(f"{name} requires grad, and an op cannot write into a tensor that does: pass it detached")
    if not _contiguous_behind(out, len(lead)):
        raise ValueError(f"{name} must be contiguous in its last {len(rest)} axes, found the strides {out.stride()}")
    for tensor in inputs:
        if _overlap(out, tensor):
            raise ValueError(f"{name} shares memory with an input, which it would overwrite while it is read")


def same_elements(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are the same elements in the same order, as an output that is updated in place."""
    return first.data_ptr() == second.data_ptr() and first.stride() == second.stride()


def _contiguous_behind(out: Tensor, lead: int) -> bool:
    if out.is_contiguous():
        return True
    expected = 1
    for axis in range(out.ndim - 1, lead - 1, -1):
        if out.shape[axis] != 1 and out.stride(axis) != expected:
            return False
        expected *= out.shape[axis]
    # samples and targets themselves must not overlap, as they do in an expanded tensor
    return all(out.shape[axis] <= 1 or out.stride(axis) >= expected for axis in range(lead))


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors' extents in memory meet (conservative for interleaved slices)."""
    first_start, first_end = _extent(first)
    second_start, second_end = _extent(second)
    return first_start < second_end and second_start < first_end


def _extent(tensor: Tensor) -> tuple[int, int]:
    start = tensor.data_ptr()
    if tensor.is_contiguous() or tensor.numel() == 0:
        return start, start + tensor.nbytes
    last = sum((extent - 1) * stride for extent, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return start, start + (last + 1) * tensor.element_size()


def is_plain(*tensors: Tensor) -> bool:
    """Whether raw addresses may be taken: real tensors outside of tracing, transforms and recorded derivatives."""
    if torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None or forward_ad._current_level >= 0:
        return False
    grad = torch.is_grad_enabled()
    return all(
        type(tensor) in (Tensor, torch.nn.Parameter)
        and not (grad and tensor.requires_grad)
        and not torch._C._functorch.is_functorch_wrapped_tensor(tensor)
        for tensor in tensors
    )


def is_differentiated(*tensors: Tensor) -> bool:
    """Whether a transform of `torch.func` takes derivatives with respect to a tensor."""
    if torch.compiler.is_compiling():
        return False
    functorch = torch._C._functorch
    for tensor in tensors:
        while functorch.is_functorch_wrapped_tensor(tensor):
            if functorch.is_gradtrackingtensor(tensor):
                return True
            tensor = functorch.get_unwrapped(tensor)
    return False


def has_tangents(*tensors: Tensor) -> bool:
    """Whether a forward-mode derivative goes with a tensor."""
    if torch.compiler.is_compiling() or forward_ad._current_level < 0:
        return False
    return any(forward_ad.unpack_dual(tensor).tangent is not None for tensor in tensors)  # type: ignore[no-untyped-call]


def is_intercepted() -> bool:
    """Whether a dispatch mode of torch, such as a tracer of graphs, wants to see every op."""
    return torch._C._len_torch_dispatch_stack() > 0
