"""Maps of several networks, by every method, which have to be the same bits each time."""

import itertools
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

import camfast
from tests import oracle
from tests.live.networks import pictures
from tests.scan.cases import WINDOW, small_network

_ROUNDING = 1e-4  # float32 through a few layers, against float64
_INDEPENDENT = ("gradcam", "hirescam", "respond")
_AT_ONCE = 8


class WrongError(AssertionError):
    """A result isn't what it was, or what it has to be."""


class Explaining:
    """A turn explains networks by methods, eight of all pairs, and compares with the first time."""

    name = "explain"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        image = torch.randn(2, 3, 48, 40, generator=generator)
        volume = torch.randn(2, 1, *WINDOW, generator=generator)
        networks: list[tuple[nn.Module, str, Tensor]] = [
            (pictures(), "3", image),
            (small_network(), "5", volume),
            (camfast.models.resnet20().eval(), "layer3", torch.randn(1, 3, 32, 32, generator=generator)),
        ]
        self._first: dict[str, Tensor] = {}
        self._jobs: Iterator[tuple[str, Callable[[], Tensor]]] = itertools.cycle(
            [job for network in networks for job in _jobs(*network)]
        )
        for model, layer, inputs in networks:
            for method in _INDEPENDENT:
                _check(model, layer, inputs, method)

    def turn(self) -> None:
        """Do the next jobs."""
        for name, job in itertools.islice(self._jobs, _AT_ONCE):
            found = job()
            first = self._first.setdefault(name, found.clone())
            if not torch.equal(found, first):
                difference = (found - first).abs().max()
                raise WrongError(f"{name}: other bits than the first time, by {difference:.3g} at most")


def _jobs(model: nn.Module, layer: str, inputs: Tensor) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    kind = type(model).__name__ + f" {tuple(inputs.shape)}"
    for method in camfast.methods():
        if method == "cam":
            continue  # it is for networks that end in an average and a linear layer
        explainer = camfast.Explainer(model, layer, method, sigma=4.0 if method == "extended" else None)
        yield f"{kind}, {method}, predicted", lambda e=explainer: e(inputs).maps  # type: ignore[misc]
        yield f"{kind}, {method}, all", lambda e=explainer: e(inputs, "all").maps  # type: ignore[misc]
    for function in (camfast.saliency, camfast.guided_backprop, camfast.deconvnet):
        yield f"{kind}, {function.__name__}", lambda f=function: f(model, inputs)  # type: ignore[misc]
    yield f"{kind}, attentive_response", lambda: camfast.attentive_response(model, inputs, layer, units=3).values


def _check(model: nn.Module, layer: str, inputs: Tensor, method: str) -> None:
    """Compare a map with plain autograd in float64."""
    found = camfast.cam(model, inputs, layer, 1, method=method, relu=False, size="grid")
    expected = oracle.grid(model, inputs, layer, 1, method)
    error = oracle.relative_error(found, expected)
    if not error < _ROUNDING:
        raise WrongError(f"{method} of {type(model).__name__}: {error:.2g} from plain autograd in float64")
