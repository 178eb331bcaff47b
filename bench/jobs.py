"""What is explained, and by whom it can't be: the common ground of camfast and its peers."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import camfast

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}

# One class a sample (N,), or a region of a segmentation.
Target = Tensor | camfast.Region
# (N, *S_in) without a graph
Maps = Callable[[], Tensor]


class CannotError(Exception):
    """Somebody has no way to a map here; the message says why, and ``cell`` what a table shows."""

    cell = "can't"


class NotInstalledError(CannotError):
    """A peer isn't there; the message says how to get it."""

    cell = "not installed"


@dataclass(frozen=True)
class Job:
    """What is explained: a model at a layer, on inputs (N, C, *S_in), for a target."""

    model: nn.Module
    layer: str
    inputs: Tensor
    target: Target

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.inputs.shape[2:])

    @property
    def classes(self) -> list[int]:
        """One class a sample."""
        return self.target.tolist() if isinstance(self.target, Tensor) else []

    def masks(self) -> Tensor:
        """Where the region is, bool (N, *S)."""
        assert isinstance(self.target, camfast.Region)
        with torch.no_grad():
            return self.target.mask(self.model(self.inputs))


class Chosen(nn.Module):
    """A model whose output is what is explained, (N, 1), or (N,) without the last axis."""

    def __init__(self, model: nn.Module, choose: Callable[[Tensor], Tensor] | None, *, keepdim: bool = True) -> None:
        super().__init__()
        self.model, self.choose, self.keepdim = model, choose, keepdim

    def forward(self, inputs: Tensor) -> Tensor:
        assert self.choose is not None
        chosen = self.choose(self.model(inputs))
        return chosen if self.keepdim else chosen[:, 0]


def twin(model: nn.Module) -> nn.Module:
    """The same weights in modules of its own, for who leaves hooks and gradients behind."""
    shared: dict[int, Any] = {id(p): nn.Parameter(p.detach(), p.requires_grad) for p in model.parameters()}
    shared |= {id(buffer): buffer for buffer in model.buffers()}
    return copy.deepcopy(model, shared)


def interpolate(grids: Tensor, size: tuple[int, ...]) -> Tensor:
    """Coarse maps (N, T, *S_grid) at a size, linearly."""
    return F.interpolate(grids.detach(), size, mode=LINEAR[len(size)])
