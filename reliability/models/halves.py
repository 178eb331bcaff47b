"""A network in two halves, cut by camfast or given, and maps as a function of features."""

from typing import Any

import torch
from torch import Tensor, nn

import camfast
from reliability.models.formulas import GRADIENT_METHODS
from reliability.models.goals import draw_goal
from reliability.models.habits import Checkpointed, Counting
from reliability.models.heads import returned
from reliability.models.judging import CHANCE, Open, Trial
from reliability.models.layer_checks import with_grid
from reliability.models.networks import Network, Scaled, called
from reliability.models.questions import Shape, ask, check_maps
from reliability.models.watching import main


class _Trunk(nn.Module):
    """A network's blocks up to one of them."""

    def __init__(self, network: Network, place: int) -> None:
        super().__init__()
        self.steps, self.scaled = network.steps[: place + 1], isinstance(network, Scaled)

    def forward(self, x: Tensor, scale: Tensor | None = None) -> Tensor:
        x = x * scale if scale is not None else x
        for step in self.steps:
            x = step(x)
        return x


class _Head(nn.Module):
    """What is behind it."""

    def __init__(self, network: Network, place: int) -> None:
        super().__init__()
        self.steps, self.head, self.wrapping = network.steps[place + 1 :], network.head, network.wrapping

    def forward(self, x: Tensor) -> Any:
        for step in self.steps:
            x = step(x)
        return returned(self.wrapping, self.head(x), x)


def halves(trial: Trial) -> None:
    """A model cut in two, and the map as a function of features."""
    network, inputs = trial.drawn.network, trial.drawn.inputs
    found = [spot for spot in with_grid(trial) if spot.call == -1 and not spot.laid_out]
    blocks = [spot for spot in found if spot.name.count(".") == 1 and spot.name.startswith("steps")]
    given = bool(blocks) and not network.skip and trial.rng.random() < 0.7
    spot = trial.rng.choice(blocks if given else found)
    place = int(spot.name.split(".")[1]) if given else 0
    pair = (_Trunk(network, place), _Head(network, place)) if given else None
    method = trial.rng.choice([m for m in GRADIENT_METHODS if m != "eigengradcam"])
    goal = draw_goal(trial.rng, trial.truth)
    while goal.kind.startswith("unit"):
        goal = draw_goal(trial.rng, trial.truth)
    question = ask(trial, spot, goal, method)
    refusal = question.refusal
    if not given:
        refusal = refusal or "not to be cut there"
    elif network.training or any(isinstance(module, Counting | Checkpointed) for module in network.modules()):
        refusal = refusal or "a head that changes its buffers, or has a checkpoint"
    before = {name: value.clone() for name, value in network.state_dict().items()}

    def call() -> Tensor:
        trunk, head = camfast.split(network, spot.name, inputs, pair=pair)
        torch.manual_seed(CHANCE)
        features = main(called(trunk, inputs)).detach()
        return camfast.head_map(lambda A: main(head(A)), features, goal.target, method, upsample="linear")

    def judge(maps: Tensor) -> None:
        with torch.random.fork_rng(devices=[]):
            if not torch.equal(torch.manual_seed(CHANCE).get_state(), trial.truth.chance):
                raise Open("torch.func draws other numbers")
        if question.wanted is not None:
            check_maps(question, Shape({}, None, None), maps if goal.many else maps.unsqueeze(1), None, 1e-8)

    trial.attempt(
        "split, head_map",
        call,
        judge,
        refusal=refusal,
        lenient=True,
        own_step=True,
        context="none",
        about=question.about,
    )
    network.load_state_dict(before)
