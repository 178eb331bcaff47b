"""A random network from a seed, with inputs for it and the state that it is found in."""

import copy
from collections import Counter
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from reliability.models.blocks import BLOCKS, Conv
from reliability.models.habits import HABITS, Checkpointed
from reliability.models.heads import HEADS, a_wrapping, returned
from reliability.models.parts import Draw
from reliability.models.watching import Block, Watch, main

_EXTENTS = {1: (17, 24, 31), 2: (9, 10, 12), 3: (6, 7, 8)}
_MOST_CELLS = {1: 64, 2: 400, 3: 800}


class Network(Block):
    """Blocks in a row, what the first gave beside what the last gave where drawn so, and a head."""

    def __init__(self, steps: list[Block], head: Block, skip: bool, wrapping: str) -> None:
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.head = head
        self.skip, self.wrapping = skip, wrapping

    def forward(self, x: Tensor) -> Any:
        first = x = self.run("steps.0", x)
        if self.skip:
            first = first.clone()  # what follows may write into it
        for place in range(1, len(self.steps)):
            x = self.run(f"steps.{place}", x)
        if self.skip:
            x = torch.cat([x, F.interpolate(first, x.shape[2:])], 1)
        return returned(self.wrapping, self.run("head", x), x)


class Scaled(Network):
    """A network with a second input."""

    def forward(self, x: Tensor, scale: Tensor) -> Any:  # type: ignore[override]
        return super().forward(x * scale)


@dataclass(frozen=True)
class Drawn:
    """A random network and how it is met.

    Attributes
    ----------
    seed
        What it was drawn from.
    network
        In float64, in training mode or not, with parameters frozen or not.
    inputs
        A tensor, a tuple or a dict.
    context
        The caller's mode of gradients: ``"none"``, ``"no_grad"`` or ``"inference_mode"``.
    parts
        The names of the blocks in it.
    """

    seed: int
    network: Network
    inputs: Any
    context: str
    parts: tuple[str, ...]

    @property
    def image(self) -> Tensor:
        """The first of the inputs."""
        return tensors(self.inputs)[0]

    @property
    def opaque(self) -> bool:
        """Whether activation functions are hidden in a layer of torch."""
        return any(module.opaque for module in self.network.modules() if isinstance(module, Block))

    @property
    def all_trained(self) -> bool:
        """Whether no parameter is frozen."""
        return all(parameter.requires_grad for parameter in self.network.parameters())

    def in_a_checkpoint(self, name: str) -> bool:
        """Whether a layer is inside a block that is computed again on the way back."""
        outer = name.split(".")
        return any(
            isinstance(self.network.get_submodule(".".join(outer[:n])), Checkpointed) for n in range(1, len(outer))
        )

    def as_type(self, dtype: torch.dtype) -> "Drawn":
        """The same in another type."""
        network = copy.deepcopy(self.network).to(dtype)
        return Drawn(self.seed, network, mapped(lambda leaf: leaf.to(dtype), self.inputs), self.context, self.parts)


def tensors(inputs: Any) -> list[Tensor]:
    """The tensors of some inputs."""
    if isinstance(inputs, Tensor):
        return [inputs]
    return list(inputs.values() if isinstance(inputs, dict) else inputs)


def mapped(function: Any, inputs: Any) -> Any:
    """Inputs with a function applied to each tensor."""
    if isinstance(inputs, Tensor):
        return function(inputs)
    if isinstance(inputs, dict):
        return {key: function(leaf) for key, leaf in inputs.items()}
    return tuple(map(function, inputs))


def called(network: nn.Module, inputs: Any) -> Any:
    """Run a network on copies of its inputs."""
    inputs = mapped(torch.clone, inputs)
    if isinstance(inputs, dict):
        return network(**inputs)
    return network(*inputs) if isinstance(inputs, tuple) else network(inputs)


def draw(seed: int) -> Drawn:
    """Draw a network that torch can differentiate; the same one for the same seed."""
    attempts = (_draw(Random(f"{seed}/{attempt}"), seed) for attempt in count())
    return next(drawn for drawn in attempts if _has_gradients(drawn))


def _draw(rng: Random, seed: int) -> Drawn:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.randrange(2**31))
        rank, relus_only = rng.choice((1, 1, 2, 2, 2, 3)), rng.random() < 0.5
        channels = rng.choice((1, 2, 3))
        image = torch.randn(rng.choice((1, 2, 2, 3)), channels, *rng.choices(_EXTENTS[rank], k=rank))
        steps, x = _steps(rng, rank, channels, relus_only, image)
        skip = rng.random() < 0.2
        head = rng.choice(HEADS)(Draw(rng, rank, x.shape[1] + (steps[0].out if skip else 0), relus_only))
        two = rng.random() < 0.15
        network = (Scaled if two else Network)(steps, head, skip, a_wrapping(rng))
        _unsettle(network)
        network.double().train(rng.random() < 0.3)
        _freeze(network, rng)
        inputs: Any = (image, torch.rand(len(image), *[1] * (rank + 1)) + 0.5) if two else image
        if not two and rng.random() < 0.2:
            inputs = {"x": image} if rng.random() < 0.5 else (image,)
    parts = (*(type(step).__name__ for step in steps), f"{type(head).__name__} (head)")
    context = rng.choice(("none", "none", "no_grad", "inference_mode"))
    return Drawn(seed, network, mapped(Tensor.double, inputs), context, parts)


def _has_gradients(drawn: Drawn) -> bool:
    """Whether nothing writes over what torch's own backward pass needs."""
    network = copy.deepcopy(drawn.network).requires_grad_()
    Watch(network)  # without the checkpoints, which would compute it again
    with torch.random.fork_rng(devices=[]):
        scores = main(called(network, drawn.inputs))
    try:
        torch.autograd.grad(scores.sum(), list(network.parameters()), allow_unused=True)
    except RuntimeError:
        return False
    return True


def _steps(rng: Random, rank: int, channels: int, relus_only: bool, x: Tensor) -> tuple[list[Block], Tensor]:
    """Blocks that fit each other, and what comes out of them."""
    steps: list[Block] = [Conv(Draw(rng, rank, channels, relus_only), stride=False)]
    wanted = rng.choice((3, 4, 4, 5, 6))
    with torch.no_grad():
        x = steps[0](x)
        while len(steps) < wanted:
            step = rng.choice(BLOCKS + HABITS)(Draw(rng, rank, x.shape[1], relus_only))
            try:
                made = step(x.clone())
            except RuntimeError:
                continue  # the grid is too small for it
            cells = made[0, 0].numel()
            if min(made.shape[2:]) < 2 or cells < 4 or cells > _MOST_CELLS[rank] or made.shape[1] > 16:
                continue
            steps.append(step)
            x = made
    return steps, x


def _unsettle(network: nn.Module) -> None:
    """Statistics and scales as after a training."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is not None:
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if getattr(module, "weight", None) is not None and type(module).__name__.endswith("Norm2d"):
            nn.init.uniform_(module.weight, 0.5, 1.5)


def _freeze(network: nn.Module, rng: Random) -> None:
    """Freeze none, all or some of the parameters; where they come from a training step, they have gradients."""
    frozen = rng.choice(("none", "none", "all", "some"))
    from_a_step = rng.random() < 0.3
    for parameter in network.parameters():
        if from_a_step:
            parameter.grad = torch.ones_like(parameter)
        parameter.requires_grad_(frozen == "none" or (frozen == "some" and rng.random() < 0.5))


def census(networks: list[Drawn]) -> Counter[str]:
    """How many networks hold each kind of block."""
    return Counter(part for drawn in networks for part in set(drawn.parts))
