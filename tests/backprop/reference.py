"""The way back written by hand: transposed convolutions, max-unpooling, masks, what maps are tested against.

Knows nothing of autograd, hooks or graphs: it walks the modules of an `nn.Sequential` forwards and backwards.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 5


def vgg_like(rank: int, channels: int = 2) -> nn.Sequential:
    """Convolutions (one of them strided), batch norm, max-pooling and dense layers, in 1-D, 2-D or 3-D; layer "6"."""
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[rank - 1]
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[rank - 1]
    pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[rank - 1]
    model = nn.Sequential(
        conv(channels, 4, 3, padding=1), nn.ReLU(), pool(2),
        conv(4, 6, 3, stride=2, padding=1, bias=False), norm(6), nn.ReLU(),
        conv(6, 7, 3, padding=1), nn.ReLU(), pool(2),
        nn.Flatten(), nn.Linear(7 * 2**rank, 8), nn.ReLU(), nn.Linear(8, CLASSES),
    )  # fmt: skip
    for module in model:
        if isinstance(module, norm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model.double().eval()


def image(rank: int, samples: int = 3, channels: int = 2) -> Tensor:
    """Fits `vgg_like`: 17 or 16 pixels along each axis, 2 after three halvings."""
    return torch.randn(samples, channels, *(17, 16, 17)[:rank], dtype=torch.float64)


def forwards(model: nn.Sequential, x: Tensor) -> list[dict[str, Any]]:
    """Every module's input and output, and the switches of max-pooling."""
    steps = []
    with torch.no_grad():
        for module in copy.deepcopy(model):
            step = {"module": module, "input": x}
            if type(module).__name__.startswith("MaxPool"):
                rank = x.ndim - 2
                pooling = getattr(F, f"max_pool{rank}d")
                x, step["switches"] = pooling(x, module.kernel_size, module.stride, return_indices=True)
            else:
                x = module(x)
            steps.append({**step, "output": x})
    return steps


def backwards(steps: list[dict[str, Any]], g: Tensor, rule: str) -> Tensor:
    """From a gradient of the last step's output to the input of the first."""
    for step in reversed(steps):
        module, x = step["module"], step["input"]
        kind = type(module).__name__
        if kind.startswith("Conv"):
            transposed = getattr(F, f"conv_transpose{x.ndim - 2}d")
            shape = ((e - 1) * s - 2 * p + k for e, s, p, k in zip(
                g.shape[2:], module.stride, module.padding, module.kernel_size, strict=True))  # fmt: skip
            missing = tuple(e - s for e, s in zip(x.shape[2:], shape, strict=True))
            g = transposed(g, module.weight, None, module.stride, module.padding, missing)
        elif kind.startswith("BatchNorm"):
            scale = module.weight / (module.running_var + module.eps).sqrt()
            g = g * scale.reshape(-1, *[1] * (x.ndim - 2))
        elif kind.startswith("MaxPool"):
            g = getattr(F, f"max_unpool{x.ndim - 2}d")(
                g, step["switches"], module.kernel_size, module.stride, output_size=x.shape
            )
        elif kind == "Flatten":
            g = g.reshape(x.shape)
        elif kind == "Linear":
            g = g @ module.weight
        else:
            assert kind == "ReLU"
            g = at_relu(x, g, rule)
    return g.detach()


def at_relu(x: Tensor, g: Tensor, rule: str) -> Tensor:
    """The table of the rules, element by element."""
    if rule == "linear":
        return g
    mask = torch.ones_like(g)
    if rule in ("saliency", "guided"):
        mask = mask * (x > 0)
    if rule in ("guided", "deconvnet"):
        mask = mask * (g > 0)
    return g * mask


def of_class(model: nn.Sequential, x: Tensor, class_index: int, rule: str) -> Tensor:
    """The map of a class, (N, C, *S)."""
    steps = forwards(model, x)
    g = torch.zeros(len(x), CLASSES, dtype=x.dtype)
    g[:, class_index] = 1
    return backwards(steps, g, rule)


def of_unit(model: nn.Sequential, x: Tensor, layer: str, unit: int, rule: str) -> Tensor:
    """One feature map of a layer alone, projected back, (N, C, *S)."""
    steps = forwards(model, x)[: int(layer) + 1]
    z = steps[-1]["output"].clamp(min=0)
    start = torch.zeros_like(z)
    start[:, unit] = z[:, unit]
    return backwards(steps, start, rule)
