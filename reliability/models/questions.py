"""What is asked of a layer of a random network, what plain autograd answers, and how an answer is judged."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from reliability.models import formulas
from reliability.models.formulas import RECTIFIED, Expected
from reliability.models.goals import Goal
from reliability.models.judging import TOLERANCE, Trial, determined, near
from reliability.models.truth import Spot, Truth


@dataclass(frozen=True)
class Shape:
    """How a grid becomes a map.

    Attributes
    ----------
    options
        What camfast is told.
    size
        Pixels; None: the grid itself.
    sigma
        Of Gaussians; None: linear.
    """

    options: dict[str, Any]
    size: tuple[int, ...] | None
    sigma: float | None
    gain: str = "spray"

    def of(self, grid: Tensor) -> Tensor:
        """The map of a grid (N, T, *S)."""
        if self.size is None:
            return grid
        if self.sigma is None:
            return formulas.linear(grid, self.size)
        return formulas.gaussian(grid, self.size, self.sigma, self.gain)


@dataclass(frozen=True)
class Question:
    """What is asked of a layer, and what the answer is."""

    spot: Spot
    goal: Goal
    method: str
    relu: bool
    wanted: Expected | None
    values: Tensor | None
    refusal: str | None
    lenient: bool
    classes: Tensor | None

    @property
    def about(self) -> str:
        """The layer, its call and the target."""
        return f"{self.spot.name}[{self.spot.call}] by {self.method}, {self.goal.kind} {self.goal.target!r:.60}"


def ask(
    trial: Trial, spot: Spot, goal: Goal, method: str, *, centre: bool = False, relu: bool | None = None
) -> Question:
    """Find the answer from plain autograd."""
    truth = trial.truth
    A, values = truth.activation(spot), goal.values(truth)
    rectified = method in RECTIFIED if relu is None else relu
    refusal, lenient, wanted = None, False, None
    classes = None if goal.classes is None else goal.classes(truth)
    if values is None:
        refusal = "an empty region"
    elif not 3 <= A.ndim <= 5:
        refusal = "no spatial axes"
    elif method == "cam":
        wanted, refusal = _by_head(trial, A, goal, truth)
    elif method == "eigencam":
        wanted = formulas.expected(A, torch.ones(values.shape[1], *A.shape), method, centre=centre)
    else:
        G = truth.gradients(values, spot)
        if G is None:
            refusal = "no part in the target"
        else:
            if not truth.depends(values, spot) or (goal.unit_layer and truth.same(goal.unit_layer, spot)):
                refusal, lenient = "no part in the target", True
            wanted = formulas.expected(A, G, method, centre=centre)
    return Question(spot, goal, method, rectified, wanted, values, refusal, lenient, classes)


def _by_head(trial: Trial, A: Tensor, goal: Goal, truth: Truth) -> tuple[Expected | None, str | None]:
    """The map of ``cam``, where the scores are a linear function of the layer's means."""
    head = getattr(trial.drawn.network.head, "classify", getattr(trial.drawn.network.head, "one", None))
    scores = truth.scores if truth.scores.ndim == 2 else truth.scores[:, None]
    if goal.classes is None or head is None or scores.ndim > 2:
        return None, "no head, or no class"
    weight = head.weight.detach().double().flatten(1)
    if weight.shape != (scores.shape[1], A.shape[1]):
        return None, "no linear layer behind an average"
    bias = 0 if head.bias is None else head.bias.detach().double()
    made = A.double().flatten(2).mean(2) @ weight.T + bias
    if float((made - scores.detach()).abs().max()) > TOLERANCE[A.dtype] * float(scores.detach().abs().max()):
        return None, "no linear layer behind an average"
    classes = goal.classes(truth)
    weights = weight[classes] / A[0, 0].numel()
    grid = torch.einsum("nc...,ntc->nt...", A.double(), weights)
    size = torch.einsum("nc...,ntc->nt...", A.double().abs(), weights.abs()).flatten(2).amax(2)
    zeros = torch.zeros(classes.shape, dtype=torch.long)
    return Expected(grid, size, weights, weights.abs(), zeros, zeros == 0), None


def draw_shape(trial: Trial, question: Question) -> tuple[Shape, str | None]:
    """A size and an upsampling, and why they can't be had."""
    rng, truth = trial.rng, trial.truth
    grid = tuple(truth.activation(question.spot).shape[2:])
    image = tuple(trial.drawn.image.shape[2:])
    options: dict[str, Any] = {}
    size: tuple[int, ...] | None = image
    kind = rng.choice(("input", "input", "grid", "given"))
    if kind == "grid":
        options["size"], size = "grid", None
    elif kind == "given":
        options["size"] = size = tuple(2 * extent + 1 for extent in grid)
    sigma, gain = None, "spray"
    if question.method == "extended" and kind != "grid" and rng.random() < 0.3:
        options["upsample"] = "linear"
    elif question.method == "extended" or rng.random() < 0.25:
        sigma, gain = rng.choice((1.0, 2.5)), rng.choice(("spray", "average", "mass"))
        options |= {"upsample": "gaussian", "sigma": sigma, "gain": gain}
    refusal = "an input of other axes" if kind == "input" and len(grid) != len(image) else None
    return Shape(options, size, sigma, gain), refusal


def answers(question: Question, shape: Shape, dtype: torch.dtype = torch.float64) -> Callable[[Any], None]:
    """What judges an `Explanation`."""

    def judge(result: Any) -> None:
        wanted, values = question.wanted, question.values
        if wanted is None or values is None:
            return
        tolerance = TOLERANCE[dtype]
        many = question.goal.many
        lifted = {name: getattr(result, name) for name in ("maps", "grid", "residual", "empty", "weights")}
        if not many:
            lifted = {name: value if value is None else value.unsqueeze(1) for name, value in lifted.items()}
        assert bool((lifted["empty"] == (lifted["grid"] == 0).flatten(2).all(2)).all()), "empty isn't what the grid is"
        flagged, ill = result.ill_conditioned, wanted.ill
        assert bool((flagged | ~(ill == 1).any(1)).all()), "an ill-conditioned map has no flag"
        assert bool((~flagged | (ill != 0).any(1)).all()), "a flag on a map that isn't ill-conditioned"
        clear = determined(wanted)
        check_maps(question, shape, lifted["maps"], lifted["grid"], tolerance)
        allowed = torch.where(clear, tolerance * wanted.size, torch.inf)
        L = wanted.grid.clamp(min=0) if question.relu else wanted.grid
        cells = L[0, 0].numel()
        y = values.detach()
        near("residual", lifted["residual"], y - L.flatten(2).sum(2), tolerance * y.abs() + cells * allowed)
        if wanted.weights is not None and wanted.parts is not None:
            # in low precision an element of G is as uncertain as the largest ones are
            parts = wanted.parts if dtype == torch.float64 else wanted.parts.amax(2, keepdim=True)
            allowed = torch.where(clear[..., None], tolerance * parts, torch.inf)
            near("weights", lifted["weights"], wanted.weights, allowed)
        if question.classes is not None:
            assert torch.equal(result.targets.reshape(len(y), -1), question.classes), "targets"

    return judge


def check_maps(question: Question, shape: Shape, maps: Tensor | None, grid: Tensor | None, tolerance: float) -> None:
    """Check maps and grids (N, T, ...)."""
    wanted = question.wanted
    assert wanted is not None
    clear = determined(wanted)
    L = wanted.grid.clamp(min=0) if question.relu else wanted.grid
    allowed = torch.where(clear, tolerance * wanted.size, torch.inf)
    if grid is not None:
        near("grid", grid, L, allowed)
    if maps is None:
        return
    U, gained = shape.of(L), float(shape.of(torch.ones_like(L)).max())
    allowed = allowed * max(gained, 1)
    if shape.sigma is not None:  # Gaussians are cut off where that keeps the error under 3e-7 of the maximum
        allowed = allowed + 1e-6 * U.flatten(2).abs().amax(2)
    near("maps", maps, U, allowed)
