"""Who is compared on a network: the plain forward pass, camfast at two jobs, and the peers; and who is right."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import camfast
from bench.jobs import CannotError, Job, Maps
from bench.networks import NETWORKS, Network
from bench.peers import PEERS, Peer

FORWARD = "forward"
# Grad-CAM upsampled linearly: what the peers do
CAMFAST = "camfast"
# upsampled by Gaussians: what no peer does
GRADCAM, RESPOND, FROZEN = "gradcam, Gaussian", "respond, Gaussian", "frozen, Gaussian"
GAUSSIAN = (GRADCAM, RESPOND, FROZEN)
OURS = (CAMFAST, *GAUSSIAN)

# Takes a contender's name and what it returned, and raises where that is wrong.
Check = Callable[[str, Any], None]

# Of the largest value of a map. Float32: convolutions and sums are added up in other orders, which is 1e-6 to 1e-5; a
# wrong layer, class or upsampling is off by more than 1e-2. bfloat16 holds 3 digits, and peers add up channels in it.
TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.1}


@dataclass(frozen=True)
class Cell:
    """A line of the table: a network with a batch."""

    network: Network
    batch: int
    dtype: torch.dtype = torch.float32
    device: str = "cpu"

    @property
    def name(self) -> str:
        suffix = "" if self.dtype is torch.float32 else ", bfloat16"
        return f"{self.network.name}{suffix}"

    def job(self, target: Any = None) -> Job:
        """Explain what the network predicts, or a target given."""
        model = self.network.model().to(self.device, self.dtype)
        inputs = self.network.inputs(self.batch).to(self.device, self.dtype)
        if target is None:
            with torch.no_grad():
                target = self.network.target(model(inputs))
        return Job(model, self.network.layer, inputs, target)


CELLS = tuple(Cell(network, batch) for network in NETWORKS for batch in network.batches)


def contender(name: str, job: Job, sigma: float, peers: Iterable[Peer] = PEERS) -> Callable[[], Tensor]:
    """Prepare somebody by name.

    Raises
    ------
    CannotError
        If there is no way to such a map, or the peer is not installed.
    """
    if name == FORWARD:
        return functools.partial(forward, job.model, job.inputs)
    if name in OURS:
        return _ours(name, job, sigma)
    (peer,) = (peer for peer in peers if peer.name == name)
    return peer.maps(job)


def contenders(job: Job, sigma: float, peers: Iterable[Peer] = PEERS) -> tuple[dict[str, Maps], dict[str, CannotError]]:
    """Everybody who can, the forward pass first; and why the others can't."""
    ours = OURS if len(job.inputs) == 1 else (CAMFAST, GRADCAM, RESPOND)  # a frozen form is for single inputs
    names = (FORWARD, *ours, *(peer.name for peer in peers))
    return _who_can({name: functools.partial(contender, name, job, sigma, peers) for name in names})


def of_all_classes(job: Job, peers: Iterable[Peer] = PEERS) -> tuple[dict[str, Maps], dict[str, CannotError]]:
    """Like `contenders`, for maps (N, T, *S_in) of all classes: camfast's from one pass, a peer's as well as it can."""
    explainer, classes = _explainer(CAMFAST, job), range(forward(job.model, job.inputs).shape[1])
    ways: dict[str, Callable[[], Maps]] = {
        FORWARD: lambda: functools.partial(forward, job.model, job.inputs),
        CAMFAST: lambda: lambda: explainer(job.inputs, "all").maps,
        **{peer.name: functools.partial(peer.maps_of, job, classes) for peer in peers},
    }
    return _who_can(ways)


def _who_can(ways: Mapping[str, Callable[[], Maps]]) -> tuple[dict[str, Maps], dict[str, CannotError]]:
    able, unable = {}, {}
    for name, prepare in ways.items():
        try:
            able[name] = prepare()
        except CannotError as error:
            unable[name] = error
    return able, unable


def check(job: Job, sigma: float, peers: Iterable[Peer] = PEERS) -> Check:
    """Make a function that refuses wrong maps.

    Those of camfast are held against its reference in torch, and those of a peer against what the peer makes of
    camfast's map on the layer's grid: whatever it does to its own, minimum and maximum included.

    Raises
    ------
    CannotError
        If there is nothing to compare: every map is 0.
    """
    reference = _explainer(CAMFAST, job, backend="torch")(job.inputs, job.target)
    if bool(reference.empty.all()):
        raise CannotError("every map is 0, which anybody's map would agree with: are these trained weights?")
    shown = {peer.name: peer.shown for peer in peers}

    def expected(name: str) -> Tensor:
        if name in GAUSSIAN:
            maps: Tensor = _explainer(name, job, sigma, backend="torch")(job.inputs, job.target).maps
            return maps
        known: dict[str, Tensor] = {FORWARD: reference.scores, CAMFAST: reference.maps}
        return known[name] if name in known else shown[name](reference.grid, job.size)

    return functools.partial(_agree, expected, TOLERANCE[job.inputs.dtype])


def check_all_classes(job: Job, peers: Iterable[Peer] = PEERS) -> Check:
    """Like `check`, for the maps of all classes."""
    reference = _explainer(CAMFAST, job, backend="torch")(job.inputs, "all")
    shown = {peer.name: peer.shown for peer in peers}

    def expected(name: str) -> Tensor:
        known: dict[str, Tensor] = {FORWARD: reference.scores, CAMFAST: reference.maps}
        if name in known:
            return known[name]
        return torch.stack([shown[name](grid, job.size) for grid in reference.grid.unbind(1)], dim=1)

    return functools.partial(_agree, expected, TOLERANCE[job.inputs.dtype])


def _agree(expected: Callable[[str], Tensor], limit: float, name: str, found: Any) -> None:
    """Raise where what somebody found is off by more than a limit, as a part of the largest value."""
    wanted = expected(name).double()
    assert found.shape == wanted.shape, f"{name}: {tuple(found.shape)} instead of {tuple(wanted.shape)}"
    error = float((found.to(wanted) - wanted).abs().max() / wanted.abs().max())
    assert error <= limit, f"{name}: off by {error:.2g} of the largest value, more than {limit:g}"


def forward(model: nn.Module, inputs: Tensor) -> Tensor:
    """The plain prediction."""
    with torch.no_grad():
        scores: Tensor = model(inputs)
    return scores


def _explainer(name: str, job: Job, sigma: float | None = None, backend: str | None = None) -> camfast.Explainer:
    method = "respond" if name == RESPOND else "gradcam"
    gaussian: dict[str, Any] = {"upsample": "gaussian", "sigma": sigma} if name in GAUSSIAN else {}
    return camfast.Explainer(job.model, job.layer, method, backend=backend, **gaussian)


def _ours(name: str, job: Job, sigma: float) -> Maps:
    explain: Any = _explainer(name, job, sigma)
    if name == FROZEN:
        explain = _freeze(explain, job)
    return lambda: explain(job.inputs, job.target).maps


def _freeze(explainer: camfast.Explainer, job: Job) -> Any:
    """The form of fixed shapes."""
    freeze = getattr(explainer, "freeze", None)
    if freeze is None:
        raise CannotError("this version of camfast has no frozen form")
    return freeze(job.inputs, job.target)
