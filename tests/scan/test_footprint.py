"""Operations are counted as torch counts them, in this thread alone."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import camfast
from camfast.scan.windows.footprint import operations
from tests.live.networks import pictures
from tests.scan.cases import WINDOW, small_network

NETWORKS = {
    "pictures": (pictures, (2, 3, 40, 36)),
    "volumes": (small_network, (3, 1, *WINDOW)),
    "attention": (lambda: nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), (2, 5, 16)),
}


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("name", NETWORKS)
def test_as_many_as_torch_counts(name: str, mode: type) -> None:
    make, shape = NETWORKS[name]
    model, inputs = make(), torch.randn(shape)
    with mode():
        found = operations(lambda: model(inputs))
        with FlopCounterMode(display=False) as counter:
            model(inputs)
    assert found == counter.get_total_flops() > 0


def test_gradients_count_too() -> None:
    """A convolution's gradient with respect to its input takes as much as itself."""
    layer, inputs = nn.Conv2d(3, 4, 3).requires_grad_(False), torch.randn(2, 3, 40, 36, requires_grad=True)
    forward = operations(lambda: layer(inputs))
    assert forward == 2 * 2 * 38 * 34 * 4 * 3 * 9
    assert operations(lambda: torch.autograd.grad(layer(inputs).sum(), inputs)) == 2 * forward


def test_another_thread_computes_as_ever() -> None:
    """`FlopCounterMode` hooks the modules of the whole process, and gradients in other threads failed."""
    model, inputs = pictures(), torch.randn(2, 3, 40, 36)
    expected = camfast.cam(model, inputs, "3", 1)
    found = []
    with ThreadPoolExecutor(1) as other:
        counted = operations(lambda: found.append(other.submit(camfast.cam, model, inputs, "3", 1).result()))
    assert torch.equal(found[0], expected)
    assert counted == 0
