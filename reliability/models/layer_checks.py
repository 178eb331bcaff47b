"""Maps of layers: every method by an `Explainer`, `cam`, `capture`, a frozen explainer, several layers at once."""

import copy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

import camfast
from reliability.models import formulas
from reliability.models.formulas import GRADIENT_METHODS
from reliability.models.goals import draw_goal
from reliability.models.habits import Checkpointed
from reliability.models.judging import CHANCE, TOLERANCE, Open, Trial, near
from reliability.models.networks import called
from reliability.models.questions import Question, Shape, answers, ask, check_maps, draw_shape
from reliability.models.truth import Spot, spots
from reliability.models.watching import main

_SHARED_OPTIONS = {"layer_output": main, "output": main}


def with_grid(trial: Trial) -> list[Spot]:
    """The layers that can be explained."""
    return [spot for spot in spots(trial.drawn, trial.truth) if 3 <= trial.truth.activation(spot).ndim <= 5]


def draw_question(trial: Trial, spot: Spot, method: str) -> tuple[Question, Shape, dict[str, Any], str | None]:
    """A target and options for a method at a layer."""
    rng = trial.rng
    centre = method.startswith("eigen") and rng.random() < 0.4
    relu = rng.choice((None, None, True, False))
    classes = method == "cam" and rng.random() < 0.8
    question = ask(trial, spot, draw_goal(rng, trial.truth, classes=classes), method, centre=centre, relu=relu)
    for _ in range(2):  # units in front of the layer have no part in it; a few of them are enough
        if question.refusal == "no part in the target":
            question = ask(trial, spot, draw_goal(rng, trial.truth, classes=classes), method, centre=centre, relu=relu)
    shape, refusal = draw_shape(trial, question)
    options = {"method": method, **shape.options, **spot.options(), "output": main}
    options |= {"relu": relu} if relu is not None else {}
    options |= {"centre": True} if centre else {}
    return question, shape, options, question.refusal or refusal


def every_method(trial: Trial, methods: tuple[str, ...]) -> None:
    """Each method at some layer with some target."""
    found = with_grid(trial)
    favourite = trial.rng.choice(found)
    for method in methods:
        spot = favourite if trial.rng.random() < 0.5 else trial.rng.choice(found)
        if method == "cam" and trial.rng.random() < 0.7:
            spot = _in_front_of_the_head(found)
        explained(trial, spot, method)


def _in_front_of_the_head(found: list[Spot]) -> Spot:
    return [spot for spot in found if spot.name.startswith("steps")][-1]


def explained(trial: Trial, spot: Spot, method: str) -> None:
    """One map, by an `Explainer` or by `cam`."""
    question, shape, options, refusal = draw_question(trial, spot, method)
    network, inputs, target = trial.drawn.network, trial.drawn.inputs, question.goal.target
    layer = spot.name if trial.rng.random() < 0.7 else network.get_submodule(spot.name)
    kept = trial.rng.random() < 0.3

    def call() -> camfast.Explanation:
        out = None
        if kept and question.wanted is not None:
            maps = shape.of(question.wanted.grid)
            out = torch.full_like(maps if question.goal.many else maps[:, 0], torch.nan)
        result = camfast.Explainer(network, layer, **options)(inputs, target, out=out)
        assert out is None or result.maps.data_ptr() == out.data_ptr()
        return result

    if trial.rng.random() < 0.7:
        trial.attempt(
            method,
            call,
            answers(question, shape),
            refusal=refusal,
            lenient=question.lenient,
            about=question.about,
        )
    else:
        trial.attempt(
            method,
            lambda: camfast.cam(network, inputs, layer, target, **options),
            lambda maps: check_maps(question, shape, _lifted(maps, question), None, TOLERANCE[torch.float64]),
            refusal=refusal,
            lenient=question.lenient,
            about=question.about,
        )


def _lifted(maps: Tensor, question: Question) -> Tensor:
    return maps if question.goal.many else maps.unsqueeze(1)


def odd_layers(trial: Trial) -> None:
    """Any layer, the vectors of linear layers among them; and earlier calls of shared layers."""
    found = spots(trial.drawn, trial.truth)
    for spot in trial.rng.sample(found, min(2, len(found))):
        explained(trial, spot, trial.rng.choice(GRADIENT_METHODS))
    earlier = [spot for spot in with_grid(trial) if spot.call >= 0]
    for spot in trial.rng.sample(earlier, min(2, len(earlier))):
        explained(trial, spot, trial.rng.choice(GRADIENT_METHODS))


def captured(trial: Trial) -> None:
    """The caller's own step: a scalar of the output, and the caller's own backward afterwards."""
    method = trial.rng.choice((*GRADIENT_METHODS, "eigencam"))
    spot = trial.rng.choice(with_grid(trial))
    goal = draw_goal(trial.rng, trial.truth)
    while goal.kind.startswith("unit"):
        goal = draw_goal(trial.rng, trial.truth)
    question = ask(trial, spot, goal, method)
    shape, refusal = draw_shape(trial, question)
    if question.values is None:
        return
    network, inputs = trial.drawn.network, trial.drawn.inputs
    before = {name: value.clone() for name, value in network.state_dict().items()}
    behind_the_map: dict[str, Tensor] = {}
    plain_step = copy.deepcopy(network)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(CHANCE)
        called(plain_step, inputs)

    def step() -> tuple[Tensor, Tensor, list[Tensor | None]]:
        with camfast.capture(network, spot.name, **spot.options()) as taken:
            scores = main(called(network, inputs))
        values = goal.values(replace(trial.truth, scores=scores))
        assert values is not None
        maps = taken.map(values if goal.many else values[:, 0], method, **shape.options)
        behind_the_map.update((name, buffer.clone()) for name, buffer in network.named_buffers())
        trainable = [p for p in network.parameters() if p.requires_grad]
        own = torch.autograd.grad(values.sum(), trainable, allow_unused=True) if trainable else []
        return maps, scores.detach(), list(own)

    def judge(result: tuple[Tensor, Tensor, list[Tensor | None]]) -> None:
        maps, scores, own = result
        near("scores", scores, trial.truth.scores, 1e-9)
        y = goal.values(trial.truth)
        assert y is not None
        for name, buffer in plain_step.named_buffers():
            near(f"the step's {name}", behind_the_map[name], buffer, 1e-9)
        names = [name for name, p in network.named_parameters() if p.requires_grad]
        of = [trial.truth.parameters[name] for name in names]
        plain = torch.autograd.grad(y.sum(), of, retain_graph=True, allow_unused=True) if of else []
        for name, found, expected in zip(names, own, plain, strict=True):
            if found is not None and expected is not None:
                near(f"the caller's gradient of {name}", found, expected, 1e-8 * float(expected.abs().max()) + 1e-12)
        check_maps(question, shape, _lifted(maps, question), None, TOLERANCE[torch.float64])

    refusal = question.refusal or refusal
    lenient = question.lenient
    if not trial.drawn.all_trained and trial.drawn.in_a_checkpoint(spot.name):
        refusal, lenient = "in a checkpoint that needs no gradients", True
    trial.attempt(
        "capture", step, judge, refusal=refusal, lenient=lenient, context="none", own_step=True, about=question.about
    )
    network.load_state_dict(before)


def frozen(trial: Trial) -> None:
    """An explainer of one shape, called twice."""
    question, shape, options, refusal = draw_question(trial, trial.rng.choice(with_grid(trial)), _a_method(trial))
    network, inputs, target = trial.drawn.network, trial.drawn.inputs, question.goal.target

    def call() -> Any:
        explain = camfast.Explainer(network, question.spot.name, **options).freeze(inputs, target)
        explain(inputs, target)
        torch.manual_seed(CHANCE)
        return explain(inputs, target)

    trial.attempt(
        "freeze", call, answers(question, shape), refusal=refusal, lenient=question.lenient, about=question.about
    )


def _a_method(trial: Trial) -> str:
    return trial.rng.choice((*GRADIENT_METHODS, "eigencam"))


def several(trial: Trial) -> None:
    """Several layers from one pass, apart or fused."""
    found = [spot for spot in with_grid(trial) if spot.call == -1 and not spot.laid_out]
    wanted = trial.rng.sample(found, min(trial.rng.choice((2, 3)), len(found)))
    method, goal = trial.rng.choice(GRADIENT_METHODS), draw_goal(trial.rng, trial.truth)
    questions = [ask(trial, spot, goal, method, relu=False) for spot in wanted]
    image = tuple(trial.drawn.image.shape[2:])
    shape = Shape({"upsample": "linear"}, image, None)
    fuse = trial.rng.choice((None, None, "mean", "max"))
    ranks = {len(trial.truth.activation(spot).shape) - 2 for spot in wanted}
    refusal = next((q.refusal for q in questions if q.refusal), None)
    if ranks != {len(image)}:
        refusal = refusal or "an input of other axes"
    network, inputs = trial.drawn.network, trial.drawn.inputs

    def call() -> Any:
        explainer = camfast.Explainer(
            network, [spot.name for spot in wanted], method, relu=False, fuse=fuse, **shape.options, **_SHARED_OPTIONS
        )
        return explainer(inputs, goal.target)

    def judge(result: Any) -> None:
        tolerance = TOLERANCE[torch.float64]
        for question in questions:
            maps = None if fuse else _lifted(result.maps[question.spot.name], question)
            check_maps(question, shape, maps, _lifted(result.grid[question.spot.name], question), tolerance)
        if fuse:
            every = torch.stack([shape.of(q.wanted.grid) for q in questions if q.wanted is not None])
            size = torch.stack([q.wanted.size for q in questions if q.wanted is not None]).amax(0)
            fused = every.mean(0) if fuse == "mean" else every.amax(0)
            near("fused", _lifted(result.maps, questions[0]), fused, tolerance * size)

    lenient = any(question.lenient for question in questions)
    about = "; ".join(question.about for question in questions)
    trial.attempt("several layers", call, judge, refusal=refusal, lenient=lenient, about=about)


def differentiable(trial: Trial) -> None:
    """Maps in a loss: their values, and the loss's gradients of the parameters."""
    spot, method = trial.rng.choice(with_grid(trial)), trial.rng.choice(("gradcam", "hirescam", "respond", "layercam"))
    goal = draw_goal(trial.rng, trial.truth)
    question = ask(trial, spot, goal, method, relu=False)
    network, inputs = trial.drawn.network, trial.drawn.inputs
    names = [name for name, parameter in network.named_parameters() if parameter.requires_grad]
    # torch's own checkpoints don't let their blocks be differentiated twice, where anything is written in place in them
    checkpointed = any(isinstance(module, Checkpointed) for module in network.modules())
    if question.values is None or question.refusal is not None or not names or checkpointed:
        return
    wanted = _loss_gradients(trial, question, names)
    if wanted is None:
        return  # torch itself can't differentiate it twice

    def call() -> tuple[Any, list[Tensor | None]]:
        options = {**spot.options(), "output": main, "size": "grid", "relu": False, "upsample": "linear"}
        result = camfast.Explainer(network, spot.name, method, create_graph=True, **options)(inputs, goal.target)
        grid = _lifted(result.grid, question)
        own = [parameter for parameter in network.parameters() if parameter.requires_grad]
        if not grid.requires_grad:
            return result, [None] * len(own)
        return result, list(torch.autograd.grad((grid**2).sum(), own, allow_unused=True))

    def judge(found: tuple[Any, list[Tensor | None]]) -> None:
        result, gradients = found
        answers(question, Shape({}, None, None))(result)
        of = question.wanted
        if of is not None and float(of.grid.abs().max()) < 1e-9 * float(of.size.max()):
            raise Open("the map is rounding")  # gradcam behind a batch norm in training mode, where ΣG = 0
        largest = max((float(row.abs().max()) for row in wanted if row is not None), default=0.0)
        for name, row, plain in zip(names, gradients, wanted, strict=True):
            zeros = torch.zeros_like(trial.truth.parameters[name])
            found_, plain_ = (zeros if one is None else one for one in (row, plain))
            near(f"the loss's gradient of {name}", found_, plain_, 1e-7 * largest)

    trial.attempt("create_graph", call, judge, context="none", about=question.about)


def _loss_gradients(trial: Trial, question: Question, names: list[str]) -> list[Tensor | None] | None:
    truth, spot = trial.truth, question.spot
    assert question.values is not None
    own = [truth.parameters[name] for name in names]
    A = truth.calls[spot.name][spot.call].value
    A = A if spot.reshape is None else spot.reshape(A)
    try:
        G = truth.gradients(question.values, spot, create_graph=True)
        if G is None:
            return None
        grid = formulas.differentiable(A, G, question.method)
        if not grid.requires_grad:
            return [None] * len(own)
        return list(torch.autograd.grad((grid**2).sum(), own, retain_graph=True, allow_unused=True))
    except RuntimeError:
        return None
