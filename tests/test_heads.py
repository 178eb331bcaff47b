"""Heads that end in a linear layer whose weights or scores aren't plain: their maps are autograd's own."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

import camfast
from camfast.head_chain import class_rows


class _Computed(nn.Module):
    """Weights that are made at each pass."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.randn(5, 168, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x @ (2 * self.factors).T


HEADS = {
    "computed weights": lambda: nn.Sequential(nn.Flatten(), _Computed()),
    "normed weights": lambda: nn.Sequential(nn.Flatten(), weight_norm(nn.Linear(168, 5))),
    "vectors reshaped": lambda: nn.Sequential(nn.Flatten(), nn.Linear(168, 5), nn.Unflatten(1, (5, 1)), nn.Flatten()),
}


@pytest.mark.parametrize("name", HEADS)
def test_they_are_left_to_autograd(name: str) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), HEADS[name]()).double().eval()
    x = torch.randn(3, 2, 6, 7, dtype=torch.float64)
    A = model[1](model[0](x)).detach().requires_grad_()
    scores = model[2](A)
    assert class_rows(scores, torch.zeros(3, 1, dtype=torch.long), [A], keep=True) is None
    expected = torch.stack(
        [(A * torch.autograd.grad(scores[:, k].sum(), A, retain_graph=True)[0]).sum(1) for k in (0, 3)], 1
    )
    found = camfast.cam(model, x, "1", [0, 3], method="hirescam", relu=False, size="grid")
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-14)
