"""Maps in input space by rules on the backward pass, low precision, two halves, and errors in the middle."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

import camfast
from reliability.models import formulas
from reliability.models.formulas import GRADIENT_METHODS
from reliability.models.goals import Goal, draw_goal
from reliability.models.judging import CHANCE, TOLERANCE, Trial, determined, near
from reliability.models.layer_checks import with_grid
from reliability.models.questions import Shape, answers, ask
from reliability.models.truth import Spot, Truth, observe
from reliability.models.watching import main

_RULES = {"saliency": "saliency", "guided_backprop": "guided", "deconvnet": "deconvnet"}


def inputs_explained(trial: Trial) -> None:
    """Saliency, guided backpropagation, deconvolution."""
    network, inputs = trial.drawn.network, trial.drawn.inputs
    for name, rule in _RULES.items():
        if rule != "saliency" and trial.drawn.opaque:
            continue
        truth = trial.truth if rule == "saliency" else observe(trial.drawn, CHANCE, rule)
        goal = draw_goal(trial.rng, truth)
        values = goal.values(truth)
        wanted = None if values is None else truth.of_input(values)
        refusal = "an empty region" if values is None else "no part in the target" if wanted is None else None
        if goal.unit_layer and not truth.calls[goal.unit_layer][-1].bare:
            refusal = "a unit of a layer that returns a tuple or dict"
        trial.attempt(
            name,
            lambda name=name, goal=goal: getattr(camfast, name)(network, inputs, goal.target, output=main),
            lambda maps, goal=goal, wanted=wanted: _same(maps, goal, wanted),
            refusal=refusal,
            lenient=refusal is not None and goal.many,
            about=f"{goal.kind} {goal.target!r:.60}",
        )


def _same(maps: Tensor, goal: Goal, wanted: Tensor | None) -> None:
    if wanted is None:
        return
    found = maps if goal.many else maps.unsqueeze(1)
    wanted = wanted.transpose(0, 1)
    near("map", found, wanted, TOLERANCE[torch.float64] * wanted.abs().flatten(2).amax(2) + 1e-300)


def guided_maps(trial: Trial) -> None:
    """Guided Grad-CAM: two passes, the coarse one first."""
    if trial.drawn.opaque:
        return
    truth = trial.truth
    image = tuple(trial.drawn.image.shape[2:])
    found = [s for s in with_grid(trial) if truth.activation(s).ndim - 2 == len(image)]
    if not found:
        return
    spot, method = trial.rng.choice(found), trial.rng.choice(("gradcam", "hirescam", "layercam", "gradcam++"))
    goal = draw_goal(trial.rng, truth)
    question = ask(trial, spot, goal, method, relu=True)
    second = observe(trial.drawn, CHANCE, "guided", chance_state=truth.chance)
    chosen = None if question.values is None else _chosen_in(second, goal, truth)
    fine = None if chosen is None else second.of_input(chosen)
    refusal = question.refusal
    if refusal is None and fine is None:
        refusal = "no part in the target, or an empty region"
    network, inputs = trial.drawn.network, trial.drawn.inputs

    def judge(maps: Tensor) -> None:
        if question.wanted is None or fine is None:
            return
        clear = determined(question.wanted)
        coarse = formulas.linear(question.wanted.grid.clamp(min=0), image)
        wanted = fine.transpose(0, 1) * coarse.unsqueeze(2)
        size = fine.abs().flatten(2).amax(2).T * question.wanted.size
        result = maps if goal.many else maps.unsqueeze(1)
        near("map", result, wanted, torch.where(clear, TOLERANCE[torch.float64] * size + 1e-300, torch.inf))

    trial.attempt(
        "guided_gradcam",
        lambda: camfast.guided_gradcam(
            network, inputs, spot.name, goal.target, method=method, output=main, **spot.options()
        ),
        judge,
        refusal=refusal,
        lenient=question.lenient or (refusal is not None and goal.many),
        runs=2,
        about=question.about,
    )


def _chosen_in(second: Truth, goal: Goal, first: Truth) -> Tensor | None:
    """The scalars of the second pass: of the classes that the first one predicted."""
    if goal.kind != "predicted" or goal.classes is None:
        return goal.values(second)
    scores = second.scores if second.scores.ndim > 1 else second.scores[:, None]
    return scores.gather(1, goal.classes(first))


def projected(trial: Trial) -> None:
    """One unit projected back, and the strongest units' responses."""
    rule = trial.rng.choice(("deconvnet", "guided", "saliency", "linear"))
    if trial.drawn.opaque and rule != "saliency":
        return
    truth = trial.truth if rule == "saliency" else observe(trial.drawn, CHANCE, rule)
    spot = trial.rng.choice(with_grid(trial))
    network, inputs = trial.drawn.network, trial.drawn.inputs
    A = truth.activation(spot)
    channel = trial.rng.randrange(A.shape[1])
    place = tuple(trial.rng.randrange(extent) for extent in A.shape[2:])
    unit = trial.rng.choice((channel, (channel, *place)))
    start = torch.zeros_like(A)
    where = (slice(None), channel, *(place if isinstance(unit, tuple) else ()))
    start[where] = A.clamp(min=0)[where]
    wanted = _pulled(truth, spot, start)
    refusal = None if wanted is not None else "no way to the input"

    def judge(map_: Tensor) -> None:
        assert wanted is not None
        near("map", map_, wanted, TOLERANCE[torch.float64] * float(wanted.abs().max()) + 1e-300)

    trial.attempt(
        "project",
        lambda: camfast.project(network, inputs, spot.name, unit, rule, **spot.options()),
        judge,
        refusal=refusal,
        about=f"{spot.name}[{spot.call}], unit {unit}, {rule}",
    )
    attentive(trial, truth, spot, rule)


def _pulled(truth: Truth, spot: Spot, start: Tensor) -> Tensor | None:
    """A start value pulled back from a layer's output to the input."""
    A = truth.calls[spot.name][spot.call].value
    A = A if spot.reshape is None else spot.reshape(A)
    if not A.requires_grad:
        return None
    (found,) = torch.autograd.grad(A, truth.source, start, retain_graph=True, allow_unused=True)
    return found


def attentive(trial: Trial, truth: Truth, spot: Spot, rule: str) -> None:
    """The largest response at each pixel, and whose it is."""
    A = truth.activation(spot)
    rank, reduce = trial.rng.choice(("max", "sum")), trial.rng.choice(("sum", "max", "abs"))
    units = min(3, A.shape[1])
    network, inputs = trial.drawn.network, trial.drawn.inputs
    z = A.clamp(min=0)
    strength = z.flatten(2).amax(2) if rank == "max" else z.flatten(2).sum(2)
    ranked = [sorted(range(A.shape[1]), key=lambda k, row=row: (-float(row[k]), k))[:units] for row in strength]
    reducer = {"sum": lambda r: r.sum(1), "max": lambda r: r.amax(1), "abs": lambda r: r.abs().sum(1)}[reduce]
    responses = []
    for place in range(units):
        start = torch.zeros_like(A)
        for n, row in enumerate(ranked):
            start[n, row[place]] = z[n, row[place]]
        pulled = _pulled(truth, spot, start)
        if pulled is not None:
            responses.append(reducer(pulled))
    refusal = None if responses else "no way to the input"

    def judge(result: Any) -> None:
        R = torch.stack(responses, 1)
        size = float(R.abs().max()) * TOLERANCE[torch.float64] + 1e-300
        near("maps", result.maps, R, size)
        assert result.units.tolist() == ranked, "the units ranked"
        near("values", result.values, R.amax(1), size)
        rank_of = (result.units[:, :, None] == result.unit.flatten(1)[:, None].long()).long().argmax(1)
        chosen = R.flatten(2).gather(1, rank_of[:, None])[:, 0]
        near("the unit behind each value", chosen, R.amax(1).flatten(1), size)

    trial.attempt(
        "attentive_response",
        lambda: camfast.attentive_response(
            network, inputs, spot.name, units, rule=rule, rank=rank, reduce=reduce, per_unit=True, **spot.options()
        ),
        judge,
        refusal=refusal,
        about=f"{spot.name}[{spot.call}], {rule}, {rank}, {reduce}",
    )


def low_precision(trial: Trial, dtype: torch.dtype, *, autocast: bool = False) -> None:
    """A method in float32 or bfloat16, or of a float32 model under autocast, against plain autograd in that type."""
    around = partial(torch.autocast, "cpu", dtype=dtype, enabled=autocast)
    try:
        with around():
            other = Trial.of(trial.drawn.as_type(torch.float32 if autocast else dtype))
    except RuntimeError:
        return  # torch has no such kernel
    other.rng = trial.rng
    method = trial.rng.choice((*GRADIENT_METHODS[:-1],))
    spot, goal = trial.rng.choice(with_grid(other)), draw_goal(trial.rng, other.truth)
    if not autocast and other.truth.activation(spot).dtype != dtype:
        return
    question = ask(other, spot, goal, method)
    network, inputs = other.drawn.network, other.drawn.inputs
    options = {**spot.options(), "output": main, "size": "grid", "upsample": "linear"}

    def call() -> Any:
        with around():
            return camfast.Explainer(network, spot.name, method, **options)(inputs, goal.target)

    other.attempt(
        "autocast" if autocast else str(dtype).removeprefix("torch."),
        call,
        answers(question, Shape({}, None, None), dtype),
        refusal=question.refusal,
        lenient=question.lenient,
        about=question.about,
    )
    trial.outcomes += other.outcomes


class Planned(Exception):  # noqa: N818
    """Raised on purpose."""


def failing(trial: Trial) -> None:
    """An error in the caller's function, and inputs that the model can't take: the model is left alone."""
    network, inputs = trial.drawn.network, trial.drawn.inputs
    spot = trial.rng.choice(with_grid(trial))

    def fail(_: Any) -> Any:
        raise Planned

    name = trial.rng.choice(("output", "layer_output", "reshape", "target"))
    options = {**spot.options(), "output": main, "size": "grid"}
    target: Any = "predicted" if trial.truth.scores.ndim < 3 else camfast.Region(0, "image")
    if name == "target":
        target = fail
    else:
        options[name] = fail

    def call() -> None:
        try:
            camfast.Explainer(network, spot.name, **options)(inputs, target)
        except Planned:
            torch.set_rng_state(trial.truth.chance)  # nobody says how far a run came
        else:
            raise AssertionError(f"the error in {name}= is gone")

    trial.attempt("an error in the middle", call, lambda _: None)
