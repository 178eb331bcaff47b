"""What plain autograd says of a network: run once on a copy whose every parameter requires gradients, without hooks."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge

from reliability.models.networks import Drawn, called, mapped, tensors
from reliability.models.watching import Block, Call, Watch, main


@dataclass(frozen=True)
class Spot:
    """A layer, and which of its calls.

    Attributes
    ----------
    name
        Dotted name.
    call
        As `camfast.Explainer` counts.
    laid_out
        ``""`` for (N, C, *S), ``"tokens"`` (N, L, C), ``"last"`` (N, *S, C).
    grid
        S, where it is tokens.
    """

    name: str
    call: int = -1
    laid_out: str = ""
    grid: tuple[int, ...] | None = None

    @property
    def reshape(self) -> Callable[[Tensor], Tensor] | None:
        """What brings the layer's output to (N, C, *S)."""
        grid = self.grid
        if self.laid_out == "tokens" and grid is not None:
            return lambda tokens: tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
        return (lambda x: x.movedim(-1, 1)) if self.laid_out == "last" else None

    def options(self) -> dict[str, Any]:
        """What a capture is told."""
        return {"call": self.call, "reshape": self.reshape, "layer_output": main}


@dataclass(frozen=True)
class Truth:
    """One run: scores in a graph, every call of every layer, the input, and where chance stood behind it."""

    scores: Tensor
    calls: dict[str, list[Call]]
    source: Tensor
    chance: Tensor
    parameters: dict[str, Tensor]

    def activation(self, spot: Spot) -> Tensor:
        """A, as (N, C, *S) if it has a grid."""
        value = self.calls[spot.name][spot.call].value.detach()
        return value if spot.reshape is None else spot.reshape(value)

    def gradients(self, values: Tensor, spot: Spot, *, create_graph: bool = False) -> Tensor | None:
        """G (T, N, C, *S) = ∂values[:, t]/∂A, or None where no value depends on A."""
        edge = self.calls[spot.name][spot.call].edge
        rows = [self._gradient(column, edge, create_graph) for column in values.unbind(1)]
        found = _stacked(rows)
        if found is None or spot.reshape is None:
            return found
        return torch.stack([spot.reshape(row) for row in found])

    def depends(self, values: Tensor, spot: Spot) -> bool:
        """Whether each of the values depends on A."""
        edge = self.calls[spot.name][spot.call].edge
        return all(self._gradient(column, edge, False) is not None for column in values.unbind(1))

    def same(self, name: str, spot: Spot) -> bool:
        """Whether a layer returned the very tensor that another one did."""
        return self.calls[name][-1].edge == self.calls[spot.name][spot.call].edge

    def of_input(self, values: Tensor) -> Tensor | None:
        """(T, N, C, *S_in)."""
        rows = [self._gradient(column, self.source, False) for column in values.unbind(1)]
        return _stacked(rows)

    @staticmethod
    def _gradient(column: Tensor, of: Tensor | GradientEdge | None, create_graph: bool) -> Tensor | None:
        if of is None or not column.requires_grad:
            return None
        (found,) = torch.autograd.grad(
            column.sum(), of, retain_graph=True, create_graph=create_graph, allow_unused=True
        )
        return found


def _stacked(rows: list[Tensor | None]) -> Tensor | None:
    """Gradients of several values, those of values that don't depend being 0; None where none depends."""
    some = next((row for row in rows if row is not None), None)
    return None if some is None else torch.stack([torch.zeros_like(some) if row is None else row for row in rows])


def observe(drawn: Drawn, chance: int, rule: str | None = None, *, chance_state: Tensor | None = None) -> Truth:
    """Run a watched copy of a network.

    Parameters
    ----------
    drawn
        The network.
    chance
        The seed of what dropout draws.
    rule
        See `Watch`.
    chance_state
        A state of the generator to go on from, in place of a seed.
    """
    network = copy.deepcopy(drawn.network).requires_grad_()
    watch = Watch(network, rule)
    first = tensors(drawn.inputs)[0]
    source = first.detach().clone().requires_grad_()
    inputs = mapped(lambda leaf: source if leaf is first else leaf, drawn.inputs)
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        if chance_state is None:
            torch.manual_seed(chance)
        else:
            torch.set_rng_state(chance_state)
        scores = main(called(network, inputs))
        after = torch.get_rng_state()
    return Truth(scores, dict(watch.calls), source, after, dict(network.named_parameters()))


def spots(drawn: Drawn, truth: Truth) -> list[Spot]:
    """Every layer that returned something with a grid, and each of its calls."""
    laid_out: dict[str, str] = {}
    for path, module in drawn.network.named_modules():
        if isinstance(module, Block):
            laid_out |= {f"{path}.{name}" if path else name: how for name, how in module.laid_out.items()}
    found = []
    for name, calls in truth.calls.items():
        for number, call in enumerate(calls):
            last = number == len(calls) - 1
            spot = Spot(name, -1 if last else number, laid_out.get(name, ""), call.grid)
            found.append(spot)
    return found
