"""The linear layer behind a global average pooling, which gives `cam` its weights without a gradient."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from camfast import layers
from camfast.ops.forms import map_dtype

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
# Of the sum of magnitudes: what a network's own order of summation, and the ten bits of TF32, may be away from float64.
_TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}
_INSTEAD = "gradcam and hirescam need no such head"


def head_weights(
    model: nn.Module, layer: str, activations: Tensor, scores: Tensor, head: str | nn.Module | None = None
) -> Tensor:
    """Find the linear layer that makes the scores of a layer's average, and return its weights.

    A head is taken only if it gives the scores of this very pass: y = W·mean_p(A) + b in every sample, which also holds
    for a 1×1 convolution in front of the pooling.

    Parameters
    ----------
    model
        An unwrapped module.
    layer
        Dotted name of the explained layer.
    activations
        A, (N, K, *S).
    scores
        What the model returned, (N, C), or (N,) for a single score.
    head
        Dotted name or module; None: the linear layers and 1×1 convolutions of the model are tried.

    Returns
    -------
    Tensor
        W, (C, K).

    Raises
    ------
    ValueError
        If no head, or not the one named, gives the scores; the message says what was found.

    References
    ----------
    Zhou et al. 2016 (CAM).
    """
    scores = scores if scores.ndim == 2 else scores[:, None]
    means = activations.detach().flatten(2).double().mean(2)
    found: list[str] = []
    for name, module in _candidates(model, head):
        fault = _fault(module, activations.shape[1:], scores.shape[1])
        if fault is None:
            weight: Tensor = module.weight.flatten(1)
            tolerance = max(_TOLERANCE[activations.dtype], _TOLERANCE[scores.dtype])
            if _gives(weight, module.bias, means, scores, tolerance):
                return weight
        found.append(f"{name or 'the model'} {fault or _NOT_THE_SCORES}")
    if head is not None:
        raise ValueError(f"method='cam' can't explain layer {layer!r} by head={head!r}: {found[0]}; {_INSTEAD}")
    described = "; ".join(found[-3:]) if found else "the model has no linear layer and no 1×1 convolution"
    raise ValueError(
        f"method='cam' needs scores that a linear layer or 1×1 convolution makes of the average of layer {layer!r} "
        f"over its positions, and found none: {described}{_behind(model, layer)}. Explain the layer in front of the "
        f"pooling, name the module by head=, or choose another method: {_INSTEAD}"
    )


_NOT_THE_SCORES = (
    "doesn't give the scores from the layer's average (something else stands between, such as a ReLU or another layer, "
    "or behind it, such as a softmax)"
)


def _candidates(model: nn.Module, head: str | nn.Module | None) -> Iterator[tuple[str, Any]]:
    if head is not None:
        yield layers.find(model, head)
        return
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) or (isinstance(module, _CONVOLUTIONS) and set(module.kernel_size) == {1}):
            yield name, module


def _fault(module: Any, shape: Sequence[int], classes: int) -> str | None:
    """What keeps a module from being the head, as far as it can be seen without running it."""
    if isinstance(module, _CONVOLUTIONS):
        if set(module.kernel_size) != {1}:
            return f"is a convolution of size {module.kernel_size}, not 1×1"
        if isinstance(module.padding, str) or any(module.padding):
            return f"is a 1×1 convolution with padding={module.padding}, whose border the layer doesn't have"
        if set(module.stride) != {1} or module.groups != 1:
            return f"is a 1×1 convolution with stride={module.stride} and groups={module.groups}"
        sizes = module.in_channels, module.out_channels
    elif isinstance(module, nn.Linear):
        sizes = module.in_features, module.out_features
    else:
        return f"is a {type(module).__name__}, not a linear layer or a 1×1 convolution"
    if sizes[0] != shape[0]:
        more = ": a flatten in between keeps the positions apart" if sizes[0] == math.prod(shape) else ""
        return f"takes {sizes[0]} values, and the layer has {shape[0]} channels{more}"
    if sizes[1] != classes:
        return f"gives {sizes[1]} values, and there are {classes} scores"
    return None


def _gives(weight: Tensor, bias: Tensor | None, means: Tensor, scores: Tensor, tolerance: float) -> bool:
    """Whether a head makes the scores of the means, in every sample whose numbers are finite."""
    weight = weight.detach().to(means)
    bias = means.new_zeros(len(weight)) if bias is None else bias.detach().to(means)
    size = means.abs() @ weight.abs().T + bias.abs()
    away = (torch.addmm(bias, means, weight.T) - scores.detach()).abs()
    # a row that isn't finite shows in its map
    known = means.isfinite().all(1) & scores.isfinite().all(1)
    fits = away <= tolerance * size
    return bool((fits | ~known[:, None]).all())


def _behind(model: nn.Module, layer: str) -> str:
    """The kinds of the modules that the model defines behind a layer."""
    leaves = [(name, module) for name, module in model.named_modules() if not any(True for _ in module.children())]
    places = [index for index, (name, _) in enumerate(leaves) if name == layer or name.startswith(f"{layer}.")]
    kinds = [type(module).__name__ for _, module in leaves[places[-1] + 1 :]] if places else []
    return f" (behind the layer stand {', '.join(kinds[:8])}{', …' if len(kinds) > 8 else ''})" if kinds else ""


def class_weights(weight: Tensor, classes: Tensor, activations: Tensor) -> Tensor:
    """w_k = W[class, k] / Z for the classes (N,) or (N, T): (N, K) or (N, T, K), in the dtype of maps."""
    positions = activations[0, 0].numel() if len(activations) else 1
    return weight.to(map_dtype(activations.dtype))[classes] / positions
